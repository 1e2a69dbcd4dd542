"""The training pipeline: prepare, train, evaluate, gate, then package and deploy, or record the refusal.

The same compiled file runs on one machine (`fairway run training`) and on a cluster. GPUs are asked for by the second
variant: Kubeflow Pipelines has no switch for an accelerator at run time.
"""

from kfp import dsl, kubernetes

from components.deploy import deploy
from components.evaluate import evaluate
from components.gate import gate, refuse
from components.package import package
from components.prepare import prepare
from components.train import train
from fairway.config import schema

GPU = "nvidia.com/gpu"
TRAIN_SECONDS = 24 * 3600


def pipeline(*, name: str, resources: schema.Pipeline):  # type: ignore[no-untyped-def]
    """Gives the pipeline with these resources; `resources.train.gpu` of 0 asks for no GPU."""

    @dsl.pipeline(name=name, description="prepare, train, evaluate, gate, package, deploy")
    def training(config: str, champion: str = "", store: str = "", home: str = "", deploy_package: bool = False) -> None:
        prepared = _sized(prepare(config=config), resources.prepare)
        trained = _sized(train(config=config, dataset=prepared.outputs["dataset"]), resources.train)
        kubernetes.set_timeout(trained, seconds=TRAIN_SECONDS)
        if resources.train.gpu:
            trained.set_accelerator_type(GPU).set_accelerator_limit(resources.train.gpu)
            kubernetes.add_toleration(trained, key=GPU, operator="Exists", effect="NoSchedule")
            kubernetes.empty_dir_mount(trained, volume_name="shm", mount_path="/dev/shm", medium="Memory")  # noqa: S108 - torch's workers share tensors there
        measured = _sized(evaluate(config=config, champion=champion, dataset=prepared.outputs["dataset"], model=trained.outputs["model"]), resources.evaluate)
        asked = _sized(gate(config=config, evaluation=measured.outputs["evaluation"]), resources.prepare)
        with dsl.If(asked.outputs["Output"] == True, name="let-through"):  # noqa: E712 - a comparison that kfp compiles
            made = _sized(package(config=config, store=store, dataset=prepared.outputs["dataset"], model=trained.outputs["model"],
                                  evaluation=measured.outputs["evaluation"], decision=asked.outputs["decision"]), resources.prepare)
            made.set_caching_options(False)
            with dsl.If(deploy_package == True, name="deploy-asked"):  # noqa: E712
                served = _sized(deploy(config=config, package=made.outputs["Output"], home=home), resources.prepare)
                served.set_caching_options(False)
        with dsl.Else(name="refused"):
            _sized(refuse(decision=asked.outputs["decision"]), resources.prepare)

    return training


def _sized(task, resources: schema.Resources):  # type: ignore[no-untyped-def]
    """Gives the task with requests and limits: one that is not bounded can take the node from others."""
    return (task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu)
            .set_memory_request(resources.memory).set_memory_limit(resources.memory))
