"""What several pipelines have in common: steps with the resources, retries and caching that they want,
and the way from rows to a deployed challenger.

Called within a pipeline's function, where each adds its steps.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.data.label_data import label_data
from components.data.prepare import prepare
from components.data.validate_data import validate_data
from components.evaluation.champion import champion
from components.evaluation.evaluate import evaluate
from components.evaluation.gate import gate
from components.evaluation.refuse import refuse
from components.operations.notify import notify
from components.operations.tell import tell
from components.packaging.package import package
from components.rollout.deploy import deploy
from components.rollout.watch_rollout import watch_rollout
from components.training.train import train
from components.training.tune import tune
from fairway.config import sections
from pipelines import settings

RUN = dsl.PIPELINE_JOB_ID_PLACEHOLDER


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of one pipeline."""

    name: str  # the pipeline's
    resources: sections.Pipeline
    validated: bool = False
    """Whether the rows are held against what the model in service knows: new rows for an old model, not
    where a person may have changed what is learnt from."""

    def reported(self, config: Any) -> Any:
        """Return the exit handler: whatever becomes of the steps within it is told."""
        told = notify(config=config, pipeline=self.name, run=RUN)
        return dsl.ExitHandler(self.act(told), name="reported")

    def tell(self, config: Any, *, outcome: str, reason: Any) -> None:
        """Add the step that tells which branch was taken."""
        said = tell(config=config, pipeline=self.name, run=RUN, outcome=outcome, reason=reason)
        self.act(said)

    def act(self, task: Any, *, hours: int = 1) -> Any:
        """Return the task as one with a side effect that is tried once."""
        return settings.acting(settings.bounded(task, self.resources.prepare, hours=hours))

    def look(self, task: Any, *, hours: int = 1) -> Any:
        """Return the task as one that reads what its inputs do not say: tried again, never cached."""
        found = settings.repeatable(settings.bounded(task, self.resources.prepare, hours=hours))
        return found.set_caching_options(False)

    def in_service(self, config: Any, *, folder: Any, home: Any) -> Any:
        """Return the package in service: another one tomorrow."""
        return self.look(champion(config=config, folder=folder, home=home)).outputs["package"]

    def retrain(self, config: Any, *, serving: Any, labels: Any, home: Any, asked: "Asked") -> None:
        """Add the steps from late labels, which join their requests as rows, and further as `challenge`
        does."""
        labelled = self.look(
            label_data(config=config, champion=serving, labels=labels, home=home), hours=6
        ).outputs
        self.challenge(labelled["config"], rows=labelled["rows"], serving=serving, asked=asked)

    def challenge(self, config: Any, *, rows: Any, serving: Any, asked: "Asked") -> None:
        """Add the steps from rows to a package, and further as is asked."""
        if self.validated:
            looked = self.look(validate_data(config=config, champion=serving, rows=rows), hours=6)
        # a file of this machine is an input that is not seen
        prepared = self.look(prepare(config=config, rows=rows), hours=6)
        if self.validated:
            prepared.after(looked)
        dataset = prepared.outputs["dataset"]
        model = self._trained(config, dataset)
        measured = settings.repeatable(
            settings.bounded(
                evaluate(config=config, champion=serving, dataset=dataset, model=model),
                self.resources.evaluate,
                hours=6,
            )
        ).outputs["evaluation"]
        allowed = settings.bounded(gate(config=config, evaluation=measured), self.resources.prepare)
        decision = allowed.outputs["decision"]
        passed = allowed.outputs["Output"]
        with dsl.If(passed == True, name="let-through"):  # noqa: E712 - a comparison that kfp compiles
            made = package(
                config=config,
                store=asked.store,
                dataset=dataset,
                model=model,
                evaluation=measured,
                decision=decision,
                run=RUN,
                why=asked.why,
                commit=asked.commit,
            )
            self._deploy(config, self.act(settings.repeatable(made)), asked=asked)
        with dsl.Else(name="refused"):
            said = self.act(refuse(decision=decision, fail=asked.fail_on_refusal))
            self.tell(config, outcome="refused", reason=said.output)

    def _trained(self, config: Any, dataset: Any) -> Any:
        """Return the model, by the best settings where some are searched."""
        # with nothing to search it does nothing: what it needs otherwise is filled in
        found = settings.repeatable(
            settings.bounded(tune(config=config, dataset=dataset), self.resources.prepare, hours=24)
        )
        fitted = train(config=config, dataset=dataset, settings=found.outputs["Output"])
        settings.repeatable(settings.bounded(fitted, self.resources.train, hours=24))
        if self.resources.train.gpu:
            settings.accelerated(fitted, self.resources.train.gpu)
        return fitted.outputs["model"]

    def _deploy(self, config: Any, made: Any, *, asked: "Asked") -> None:
        with dsl.If(asked.deploy == True, name="deploy-asked"):  # noqa: E712
            revision = self.act(
                deploy(config=config, package=made.outputs["package"], home=asked.home)
            ).output
            with dsl.If(asked.watch == True, name="watch-asked"):  # noqa: E712
                self.act(watch_rollout(config=config, revision=revision, home=asked.home), hours=48)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is asked besides training: parameters of the pipeline."""

    store: Any
    home: Any
    deploy: Any
    watch: Any
    fail_on_refusal: Any
    why: Any  # the run began
    commit: Any  # of the code that it began from
