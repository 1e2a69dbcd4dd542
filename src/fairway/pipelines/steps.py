"""What the steps of a local run do, told by kfp's own log line by line.

kfp.local keeps no status, time or error of a step. Its log has them: lines of its own start with
the time of day, lines of a step are indented by four spaces, so that no step can pass for kfp. What
kfp does not say (exit status, memory, a step whose results were kept) is in lines of ours, which
start with MARK.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from fairway import artifacts

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BEGAN = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} - INFO - Executing task '(.+)'$")
ENDED = re.compile(
    r"^\d\d:\d\d:\d\d\.\d{3} - \w+ - Task '(.+)' finished with status (SUCCESS|FAILURE)$"
)
MARK = "fairway: "
EXITED = re.compile(rf"^{MARK}exit (-?\d+) (\d+)$")
KEPT = re.compile(rf"^{MARK}kept (\S+) (.+)$")
INDENT = "    "
TRACEBACK = f"{INDENT}Traceback (most recent call last):"
PROGRESS = f"{INDENT}progress: "
OURS = re.compile(r"^fairway\.errors\.(\w+): ")
EXECUTOR = re.compile(r"^\[KFP Executor ")
EXECUTOR_INPUT = "Got executor_input:"  # kfp prints all of it, over many lines up to a brace
SAYS = "says"  # a line of the step's log, for whoever shows its end
SIGNALS = 128  # a shell's exit status is this and the number of the signal that ended its command


@dataclass
class PipelineStep:
    """One step so far; `seconds` is None while it runs."""

    name: str
    began: float
    status: str = "running"  # running | done | failed | cached
    seconds: float | None = None
    error: str = ""
    kind: str = ""  # the error's class, where it is one of fairway's
    last: str = ""
    exit: int | None = None
    memory_bytes: int | None = None  # the most that a process of it had resident
    folder: str | None = None  # where an earlier try or run left its results


def exited(status: int, memory_bytes: int) -> str:
    """Return the line that says how a step's process ended."""
    return f"{MARK}exit {status} {memory_bytes}"


def kept(step: str, folder: Path) -> str:
    """Return the line that says whose results stand for a step."""
    return f"{MARK}kept {step} {folder}"


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something worth telling: a step began, said something, got on, or ended."""

    step: str
    status: str  # a step's, or SAYS
    seconds: float | None = None
    message: str = ""
    memory_bytes: int | None = None  # of a step that ended: the most that it had


@dataclass
class Follower:
    """Reads a run's log as it is written; the time of each line is handed in."""

    steps: list[PipelineStep] = field(default_factory=list)
    said: str | None = None  # what the line was in the words of the step that is under way
    _raising: bool = False
    _dumping: bool = False

    def read(self, line: str, *, now: float) -> Told | None:
        """Return what the line tells, if anything."""
        line, self.said = COLOUR.sub("", line).rstrip("\n"), None
        if match := BEGAN.match(line):
            self.steps.append(PipelineStep(name=match[1], began=now))
            return Told(step=match[1], status="running")
        if match := KEPT.match(line):
            found = PipelineStep(
                name=match[1], began=now, status="cached", seconds=0.0, folder=match[2]
            )
            self.steps.append(found)
            return Told(step=match[1], status="cached", seconds=0.0)
        if self.steps and (match := EXITED.match(line)):
            self.steps[-1].exit, self.steps[-1].memory_bytes = int(match[1]), int(match[2])
            return None
        if match := ENDED.match(line):
            return self._end(match[1], succeeded=match[2] == "SUCCESS", now=now)
        if self.steps and self.steps[-1].status == "running" and line.startswith(INDENT):
            return self._own(self.steps[-1], line, now=now)
        return None

    def failed(self) -> PipelineStep | None:
        """Return the step that failed or was cut off, with its own error in `error`."""
        ended = ("done", "cached")
        return next((step for step in reversed(self.steps) if step.status not in ended), None)

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
        return Told(
            step=name,
            status=step.status,
            seconds=step.seconds,
            message=step.error,
            memory_bytes=step.memory_bytes,
        )

    def _own(self, step: PipelineStep, line: str, *, now: float) -> Told | None:
        """A line of the step itself. Of chained errors the last one counts: the step's own, its
        causes come before it."""
        text = line[len(INDENT) :]
        if self._dumped(text):
            return None
        self.said = text
        if line == TRACEBACK:
            self._raising = True
        elif self._raising and text and not text.startswith((" ", "\t")):
            match = OURS.match(text)
            step.kind = match[1] if match else ""
            self._raising, step.error = False, OURS.sub("", text)
        elif line.startswith(PROGRESS):
            return Told(
                step=step.name,
                status="running",
                seconds=round(now - step.began, 3),
                message=line[len(PROGRESS) :],
            )
        if not text.strip():
            return None
        step.last = text.strip()
        return Told(step=step.name, status=SAYS, message=step.last)

    def _dumped(self, text: str) -> bool:
        """Say whether the line is kfp's own within the step's: what it does, and the inputs."""
        if self._dumping:
            self._dumping = text != "}"
            return True
        self._dumping = bool(EXECUTOR.match(text)) and text.endswith(EXECUTOR_INPUT)
        return bool(EXECUTOR.match(text))


def sentence(step: PipelineStep | None) -> str:
    """Return why the step failed in its own words, or what is known where it had none."""
    if step is None:
        return "it ended before its first step"
    if step.error:
        return step.error
    last = f", and its last line was {step.last[:200]!r}" if step.last else ""
    if step.exit is not None and 0 <= step.exit < SIGNALS:
        return f"it ended with status {step.exit} and without an error of its own{last}"
    how = (
        f"was killed by signal {abs(step.exit) % SIGNALS}" if step.exit else "may have been killed"
    )
    return f"it ended without an error of its own{last}: it {how}, for want of memory for instance"


def error_in(log: str) -> tuple[str, str]:
    """Return the kind (where it is one of fairway's) and the sentence of the error that a step's own
    log ends with, both empty where it has none."""
    follower = Follower([PipelineStep(name="", began=0.0)])
    for line in log.splitlines():
        follower.read(f"{INDENT}{line}", now=0.0)
    return follower.steps[0].kind, follower.steps[0].error


def as_json(step: PipelineStep, *, output: artifacts.Json, log: Path) -> artifacts.Json:
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
        "exit": step.exit,
        "memory_bytes": step.memory_bytes,
        "error": step.error,
        "log": str(log),
        "parameters": output.get("parameterValues", {}),
        "artifacts": {
            name: {"path": one.get("uri", ""), "metadata": one.get("metadata", {})}
            for name, one in found.items()
        },
    }
