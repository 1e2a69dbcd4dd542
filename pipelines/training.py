"""The training pipeline: import, prepare, train, evaluate beside the champion, gate, then package,
deploy and watch, or record the refusal.

The same compiled file runs on one machine (`fairway run training`) and on a cluster. GPUs are asked
for by the second variant: Kubeflow Pipelines has no switch for an accelerator at run time. Image,
requests and limits are filled in from the configuration when a run is submitted
(fairway.pipelines.compiled).
"""

from kfp import dsl, kubernetes

from components.data.import_data import import_data
from components.data.prepare import prepare
from components.evaluation.champion import champion
from components.evaluation.evaluate import evaluate
from components.evaluation.gate import gate
from components.evaluation.refuse import refuse
from components.packaging.package import package
from components.rollout.deploy import deploy
from components.rollout.watch_rollout import watch_rollout
from components.training.train import train
from fairway.config import sections
from fairway.pipelines import pitfalls

GPU = "nvidia.com/gpu"
HOUR = 3600


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources; `resources.train.gpu` of 0 asks for no GPU."""

    @dsl.pipeline(
        name=name, description="import, prepare, train, evaluate, gate, package, deploy, watch"
    )
    def training(
        config: str,
        compare_with: str = "",
        store: str = "",
        home: str = "",
        deploy_package: bool = False,
        watch: bool = False,
        fail_on_refusal: bool = False,
    ) -> None:
        brought = _repeatable(_bounded(import_data(config=config), resources.prepare, hours=6))
        # its inputs name the data; they do not change when the data does
        brought.set_caching_options(False)
        prepared = _repeatable(
            _bounded(
                prepare(config=config, rows=brought.outputs["rows"]), resources.prepare, hours=6
            )
        )
        prepared.set_caching_options(False)  # a file of this machine is an input that is not seen
        serving = _repeatable(
            _bounded(champion(config=config, folder=compare_with, home=home), resources.prepare)
        )
        serving.set_caching_options(False)  # what serves is another one tomorrow
        trained = _repeatable(
            _bounded(
                train(config=config, dataset=prepared.outputs["dataset"]), resources.train, hours=24
            )
        )
        if resources.train.gpu:
            _accelerated(trained, resources.train.gpu)
        measured = _repeatable(
            _bounded(
                evaluate(
                    config=config,
                    champion=serving.outputs["package"],
                    dataset=prepared.outputs["dataset"],
                    model=trained.outputs["model"],
                ),
                resources.evaluate,
                hours=6,
            )
        )
        asked = _bounded(
            gate(config=config, evaluation=measured.outputs["evaluation"]), resources.prepare
        )
        with dsl.If(asked.outputs["Output"] == True, name="let-through"):  # noqa: E712 - a comparison that kfp compiles
            made = _bounded(
                package(
                    config=config,
                    store=store,
                    dataset=prepared.outputs["dataset"],
                    model=trained.outputs["model"],
                    evaluation=measured.outputs["evaluation"],
                    decision=asked.outputs["decision"],
                    run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                ),
                resources.prepare,
            )
            _acting(_repeatable(made))
            with dsl.If(deploy_package == True, name="deploy-asked"):  # noqa: E712
                asked_for = _bounded(
                    deploy(config=config, package=made.outputs["package"], home=home),
                    resources.prepare,
                )
                _acting(asked_for)
                with dsl.If(watch == True, name="watch-asked"):  # noqa: E712
                    _acting(
                        _bounded(
                            watch_rollout(config=config, revision=asked_for.output, home=home),
                            resources.prepare,
                            hours=48,
                        )
                    )
        with dsl.Else(name="refused"):
            _acting(
                _bounded(
                    refuse(decision=asked.outputs["decision"], fail=fail_on_refusal),
                    resources.prepare,
                )
            )

    return training


def _bounded(task, resources: sections.Resources, *, hours: int = 1):  # type: ignore[no-untyped-def]
    """Return the task with requests, limits and a timeout: an unbounded one takes the node from
    others, or hangs for ever."""
    kubernetes.set_timeout(task, seconds=hours * HOUR)
    return (
        task.set_cpu_request(resources.cpu)
        .set_cpu_limit(resources.cpu)
        .set_memory_request(resources.memory)
        .set_memory_limit(resources.memory)
    )


def _repeatable(task):  # type: ignore[no-untyped-def]
    """Return the task tried again after a failure, for nodes that vanish: a step that replaces all
    it wrote before."""
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2)


def _acting(task):  # type: ignore[no-untyped-def]
    """Return the task marked as one with a side effect: a cached answer would not act."""
    kubernetes.add_pod_label(task, label_key=pitfalls.SIDE_EFFECT, label_value="true")
    return task.set_caching_options(False)


def _accelerated(task, gpus: int) -> None:  # type: ignore[no-untyped-def]
    task.set_accelerator_type(GPU).set_accelerator_limit(gpus)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    # torch's workers share tensors there
    shared = "/dev/shm"  # noqa: S108
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path=shared, medium="Memory")
