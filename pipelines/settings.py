"""What a pipeline's steps are given besides their inputs: resources, timeout, retries, GPUs."""

from kfp import dsl, kubernetes

from fairway.config import sections
from fairway.pipelines import pitfalls

GPU = "nvidia.com/gpu"
HOUR = 3600
# A run's Workflow and its pods go a week after its end; Kubeflow Pipelines keeps the record. No run goes on
# for longer than all its steps may: what stays Pending, whatever for, ends too.
RUN = dsl.PipelineConfig(
    ttl_seconds_after_finished=7 * 24 * HOUR, active_deadline_seconds=5 * 24 * HOUR
)


def bounded(task, resources: sections.Resources, *, hours: int = 1):  # type: ignore[no-untyped-def]
    """Return the task with requests, limits and a timeout: an unbounded one takes the node from
    others, or hangs for ever."""
    kubernetes.set_timeout(task, seconds=hours * HOUR)
    return (
        task.set_cpu_request(resources.cpu)
        .set_cpu_limit(resources.cpu)
        .set_memory_request(resources.memory)
        .set_memory_limit(resources.memory)
    )


def repeatable(task):  # type: ignore[no-untyped-def]
    """Return the task tried again after a failure, for nodes that vanish: a step that replaces all
    it wrote before."""
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2)


def acting(task):  # type: ignore[no-untyped-def]
    """Return the task marked as one with a side effect: a cached answer would not act."""
    kubernetes.add_pod_label(task, label_key=pitfalls.SIDE_EFFECT, label_value="true")
    return task.set_caching_options(False)


def accelerated(task, gpus: int) -> None:  # type: ignore[no-untyped-def]
    """Give the task so many GPUs, the toleration of their nodes' taint, and shared memory."""
    task.set_accelerator_type(GPU).set_accelerator_limit(gpus)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    # torch's workers share tensors there
    shared = "/dev/shm"  # noqa: S108
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path=shared, medium="Memory")
