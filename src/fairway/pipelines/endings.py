"""How a run on this machine ended, by what its steps left: which branch ran is read, never assumed."""

import re
from collections.abc import Callable, Set
from pathlib import Path

from fairway import artifacts, errors

BRANCHES = frozenset({"package", "deploy", "refuse"})
NUMBER = re.compile(r"-\d+$")
Left = Callable[[str], Path]  # the folder of what a step left
Ending = tuple[str, str]  # the outcome, and its reason


def of(
    pipeline: str, *, done: Set[str], left: Left, arguments: artifacts.Json, log: Path
) -> Ending:
    """Return outcome and reason of a run whose steps succeeded; raises TrainingError where they are not
    those that its decisions ask for."""
    # kfp numbers a component that stands in two branches
    done = {NUMBER.sub("", name) for name in done}
    if pipeline == "batch":
        return _answered(left("batch-predict"))
    if pipeline == "monitoring":
        decided = _parameters(left("decide-retraining"))
        if decided.get("decision") != "train":
            _need(done & {"tell", "label-data", *BRANCHES}, {"tell"}, said="to wait", log=log)
            return "waited", str(decided.get("reason", ""))
    return _gated(done=done, left=left, deploy=arguments["deploy_package"], log=log)


def _gated(*, done: Set[str], left: Left, deploy: bool, log: Path) -> Ending:
    decision = left("gate") / "decision"
    if not decision.exists():
        raise errors.TrainingError(f"the run left no decision of the gate: see {log}")
    made = artifacts.from_json(artifacts.GateDecision, artifacts.read_json(decision))
    wanted = {"package", *(["deploy"] if deploy else [])} if made.promote else {"refuse"}
    said = f"to {'promote' if made.promote else 'refuse'}"
    _need(done & BRANCHES, wanted, said=said, log=log)
    outcome = "refused" if not made.promote else "deployed" if deploy else "packaged"
    return outcome, made.reason


def _need(ran: Set[str], wanted: Set[str], *, said: str, log: Path) -> None:
    if ran != wanted:
        raise errors.TrainingError(
            f"the run decided {said}, and of its branches {', '.join(sorted(ran)) or 'nothing'} ran: "
            f"wanted {', '.join(sorted(wanted))}; see {log}"
        )


def _answered(folder: Path) -> Ending:
    rows = _parameters(folder).get("Output", 0)
    return "answered", f"{rows:,.0f} rows are answered in {folder / 'answers'}"


def _parameters(folder: Path) -> artifacts.Json:
    file = folder / "executor_output.json"
    found: artifacts.Json = artifacts.read_json(file) if file.exists() else {}
    given: artifacts.Json = found.get("parameterValues", {})
    return given
