"""A compiled pipeline run here under kfp.local, as a process of its own:

python -m fairway.pipelines.execute REQUEST.json      # what `run` starts
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from kfp import components, local
from kfp.dsl import executor
from kfp.local import cache, placeholder_utils, subprocess_task_handler

from fairway import artifacts, garbage
from fairway.pipelines import compiled, reuse, step_process, steps

COMPONENT = "comp-"  # what kfp puts before a component's name
# the sections of the configuration that a cached step reads; of others a change is none to it
READS = {
    "tune": ("training",),
    "train": ("training",),
    "evaluate": ("evaluation",),
    "gate": ("evaluation",),
}
TOLD = "notify"  # of each try how it ended: what one of them could not deliver is no answer for the next
# what a compiled step runs, and what does the same here
MODULES = (f"-m {step_process.KFP} ", f"-m {step_process.__name__} ")
ARTIFACT = "__kfp_artifact__"  # kfp's mark of one that is written down
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of getrusage, in bytes


def here(request: artifacts.Json) -> None:
    """Run the compiled pipeline under kfp.local with this environment; nothing is installed,
    nothing is fetched."""
    _plain_interpreter()
    documents = compiled.read(Path(request["pipeline"]))
    shared = request["cache"]
    kept = ContentCache(
        own=reuse.Results(Path(request["kept"])),
        shared=reuse.Results(Path(shared)) if shared else None,
        pure=compiled.cached_steps(documents) if shared else frozenset(),
        root=Path(request["root"]),
    )
    # kfp looks these names up at each task
    cache.get_local_cache = lambda: kept
    subprocess_task_handler.run_local_subprocess = measured
    placeholder_utils.make_random_id = lambda: request["run"]  # the run's own name is its id
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=request["root"],
        raise_on_error=True,
    )
    text = compiled.write(compiled.kept(compiled.tried_once(documents)))
    pipeline: Any = components.load_component_from_text(text)
    pipeline(**request["arguments"])


class ContentCache(cache.LocalCache):  # type: ignore[misc]
    """kfp's cache with keys that are content, not places: `own` has what this run's steps left, and
    `shared` what pure steps of any run did."""

    def __init__(
        self,
        *,
        own: reuse.Results,
        shared: reuse.Results | None,
        pure: frozenset[str],
        root: Path,
    ) -> None:
        super().__init__(str(own.folder))
        self._own, self._shared, self._pure, self._root = own, shared, pure, root
        self._content: dict[str, str | None] = {}

    def compute_key(
        self,
        component_name: str,
        image: str,
        full_command: list[str],
        arguments: dict[str, Any],
        env_vars: dict[str, str] | None = None,
        custom_cache_key: str | None = None,
    ) -> str:
        """Return the step's name and the digest of its code, arguments and artifacts' content."""
        step = component_name.removeprefix(COMPONENT)
        told = {name: self._told(value) for name, value in arguments.items()}
        if step in READS:
            config = json.loads(arguments["config"])
            told["config"] = {name: config[name] for name in READS[step]}
        return f"{step}-{reuse.key(full_command, told, env_vars or {})}"

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the outputs that were kept, and tell whose they are."""
        step = _step(key)
        if step == TOLD:
            return None
        found = self._own.find(key)
        if found is None and self._shared is not None and step in self._pure:
            found = self._shared.find(_anywhere(key))
        if found is None:
            return None
        print(steps.kept(step, found["folder"]), flush=True)
        self._own.put(key, **found)  # also where the other run's entry goes
        return {name: _restored(value) for name, value in found["outputs"].items()}

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keep what a step left."""
        step = _step(key)
        # below a loop's iteration, of a step that is in one
        places = (*self._root.glob(f"*/{step}"), *self._root.glob(f"*/for-loop-*/{step}"))
        folder = next(iter(places), self._root)
        paths = [value.uri for value in outputs.values() if hasattr(value, "uri")]
        found = {
            "folder": str(folder),
            "outputs": self._serialize_outputs(outputs),
            "content": {path: self._digest(path) for path in paths},
        }
        self._own.put(key, **found)
        if self._shared is not None and step in self._pure:
            self._shared.put(_anywhere(key), **found)

    def _told(self, value: Any) -> Any:
        if not hasattr(value, "uri"):
            return value
        return {"content": self._digest(value.uri), "metadata": reuse.placeless(value.metadata)}

    def _digest(self, path: str) -> str | None:
        if path not in self._content:  # artifacts are read by several steps, and change no more
            self._content[path] = reuse.content(Path(path))
        return self._content[path]


def measured(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
    """Run a step as kfp does, and tell its exit status and the most memory that it had."""
    environment = {**os.environ, **env_vars} if env_vars else None
    with subprocess.Popen(
        [part.replace(*MODULES) for part in full_command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        bufsize=1,
        env=environment,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="")  # which kfp indents
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # past kfp's indented print: no step can write such a line
    sys.stdout.write(steps.exited(process.returncode, usage.ru_maxrss * MAXRSS_UNIT) + "\n")
    return process.returncode


def _restored(value: Any) -> Any:
    """Return an output as kfp hands it on. kfp's own way back takes metrics for lost, which are
    metadata and no file."""
    if not (isinstance(value, dict) and value.get(ARTIFACT)):
        return value
    told = {name: value[name] for name in ("name", "uri", "metadata")}
    return executor.create_artifact_instance(
        {**told, "type": {"schemaTitle": value["schema_title"]}}
    )


def _step(key: str) -> str:
    return key.rpartition("-")[0]


def _anywhere(key: str) -> str:
    """Return the key for other runs: they may be of another version."""
    return f"{_step(key)}-{reuse.key(key, reuse.code())}"


def _plain_interpreter() -> None:
    """kfp puts the interpreter's path wherever a step's command says `python3`, also inside the
    names of the user's files.

    Where `python3` on PATH can be this interpreter, the path it puts there is `python3` and nothing
    changes.
    """
    folder = Path(sys.executable).parent
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which("python3", path=path)
    if found and Path(found).parent == folder and os.path.samefile(found, sys.executable):
        os.environ["PATH"] = path
        sys.executable = "python3"


def _end_with_starter() -> None:
    """End this process and its steps when the process that started it is gone: its end of our
    standard input closes then."""
    held = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # what the steps inherit
    os.close(nothing)

    def wait() -> None:
        while os.read(held, 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_starter()
    garbage.left_at_end()
    here(artifacts.read_json(Path(sys.argv[1])))
