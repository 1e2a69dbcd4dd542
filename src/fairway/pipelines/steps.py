"""What the steps of a local run do, told by kfp's own log line by line.

kfp.local keeps no status, time or error of a step. Its log has them: lines of its own start with
the time of day, lines of a step are indented by four spaces, so that no step can pass for kfp.
"""

import re
from dataclasses import dataclass, field

from fairway import artifacts

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BEGAN = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} - INFO - Executing task '(.+)'$")
ENDED = re.compile(
    r"^\d\d:\d\d:\d\d\.\d{3} - \w+ - Task '(.+)' finished with status (SUCCESS|FAILURE)$"
)
INDENT = "    "
TRACEBACK = f"{INDENT}Traceback (most recent call last):"
PROGRESS = f"{INDENT}progress: "
OURS = re.compile(r"^fairway\.errors\.\w+: ")
EXECUTOR = re.compile(r"^\[KFP Executor ")


@dataclass
class PipelineStep:
    """One step so far; `seconds` is None while it runs."""

    name: str
    began: float
    status: str = "running"  # running | done | failed
    seconds: float | None = None
    error: str = ""
    last: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something worth telling: a step began, got on, or ended."""

    step: str
    status: str
    seconds: float | None = None
    message: str = ""


@dataclass
class Follower:
    """Reads a run's log as it is written; the time of each line is handed in."""

    steps: list[PipelineStep] = field(default_factory=list)
    _raising: bool = False

    def read(self, line: str, *, now: float) -> Told | None:
        """Return what the line tells, if anything."""
        line = COLOUR.sub("", line).rstrip("\n")
        if match := BEGAN.match(line):
            self.steps.append(PipelineStep(name=match[1], began=now))
            return Told(step=match[1], status="running")
        if match := ENDED.match(line):
            return self._end(match[1], succeeded=match[2] == "SUCCESS", now=now)
        if self.steps and self.steps[-1].status == "running" and line.startswith(INDENT):
            return self._own(self.steps[-1], line, now=now)
        return None

    def failed(self) -> PipelineStep | None:
        """Return the step that failed or was cut off, with its own error in `error`."""
        return next((step for step in reversed(self.steps) if step.status != "done"), None)

    def _end(self, name: str, *, succeeded: bool, now: float) -> Told | None:
        step = next(
            (
                step
                for step in reversed(self.steps)
                if step.name == name and step.status == "running"
            ),
            None,
        )
        if step is None:
            return None
        step.status, step.seconds = ("done" if succeeded else "failed"), round(now - step.began, 3)
        return Told(step=name, status=step.status, seconds=step.seconds, message=step.error)

    def _own(self, step: PipelineStep, line: str, *, now: float) -> Told | None:
        """A line of the step itself. Of chained errors the last one counts: the step's own, its
        causes come before it."""
        text = line[len(INDENT) :]
        if line == TRACEBACK:
            self._raising = True
        elif self._raising and text and not text.startswith((" ", "\t")):
            self._raising, step.error = False, OURS.sub("", text)
        elif line.startswith(PROGRESS):
            return Told(
                step=step.name,
                status="running",
                seconds=round(now - step.began, 3),
                message=line[len(PROGRESS) :],
            )
        if text.strip() and not EXECUTOR.match(text):
            step.last = text.strip()
        return None


def sentence(step: PipelineStep | None) -> str:
    """Return why the step failed in its own words, or what is known where it had none."""
    if step is None:
        return "it ended before its first step"
    if step.error:
        return step.error
    last = f", and its last line was {step.last[:200]!r}" if step.last else ""
    return f"it ended without an error of its own{last}: it may have been killed, for want of memory for instance"


def as_json(step: PipelineStep, *, output: artifacts.Json) -> artifacts.Json:
    """Return the step for the record of the run, with what its `executor_output.json` holds."""
    found = {
        name: held["artifacts"][0]
        for name, held in output.get("artifacts", {}).items()
        if held.get("artifacts")
    }
    return {
        "step": step.name,
        "status": step.status,
        "seconds": step.seconds,
        "began": step.began,
        "parameters": output.get("parameterValues", {}),
        "artifacts": {
            name: {"path": one.get("uri", ""), "metadata": one.get("metadata", {})}
            for name, one in found.items()
        },
    }
