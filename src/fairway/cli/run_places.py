"""What the commands of `fairway runs` ask of the place where a run was: this machine, a cluster."""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway import artifacts, errors
from fairway.cli import options, progress, run_ends
from fairway.pipelines import run_records

if TYPE_CHECKING:
    from fairway.pipelines import kubeflow

END_SECONDS = 30.0  # for a run's steps to end in: they are killed after 5
POLL_SECONDS = 0.1


class Here:
    """Runs of this machine."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def newest(self, *, deployment: str | None, limit: int) -> list[artifacts.Json]:
        return run_records.newest_first(self._home, deployment=deployment)[:limit]

    def find(self, name: str | None) -> artifacts.Json:
        return run_records.find(self._home, name)

    def log(self, record: artifacts.Json, step: artifacts.Json) -> str:
        file = Path(step.get("log") or "nowhere")  # an earlier version's record has none
        if not file.is_file():
            raise errors.UsageError(
                f"step {step['step']} of {record['run']} has no log at {file}: it is "
                f"{step['status']}, and the run that did it may have been removed"
            )
        return file.read_text(encoding="utf-8", errors="replace")

    def package(self, record: artifacts.Json) -> tuple[str, str]:
        if record["package"] is None:
            raise errors.UsageError(
                f"run {record['run']} made no package: it ended as {record['outcome']}"
                f" ({record['reason']})"
            )
        return Path(record["package"]).as_uri(), record["digest"]

    def retry(self, record: artifacts.Json, *, form: str) -> None:
        from fairway.config import loader
        from fairway.pipelines import listeners, run

        folder = Path(record["folder"])
        asked = run_records.configuration(folder)
        config = None
        with contextlib.suppress(errors.ConfigError):  # of another version: the run itself says so
            config = loader.check(asked, where=str(folder))
        with (
            options.interruptible(),
            listeners.telling(config, warn=run_ends.warn) as recorded,
            progress.steps(quiet=form == "json") as report,
        ):
            made = run.retry(folder, progress=report, recorded=recorded)
        run_ends.show_run(made, form=form)

    def cancel(self, record: artifacts.Json) -> str:
        folder = Path(record["folder"])
        process = run_records.holder(folder)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        until = time.monotonic() + END_SECONDS
        while run_records.holder(folder) is not None:
            if time.monotonic() > until:
                raise errors.PlatformError(
                    f"run {record['run']} still goes on in process {process}, {END_SECONDS:.0f} s "
                    "after it was asked to end"
                )
            time.sleep(POLL_SECONDS)
        ended = self.find(record["run"])
        return f"run {record['run']} has ended as {ended['outcome']}: {ended['reason']}"


class There:
    """Runs of a cluster's Kubeflow Pipelines."""

    def __init__(self, client: Any, *, namespace: str | None) -> None:
        self._client, self._namespace = client, namespace

    def newest(self, *, deployment: str | None, limit: int) -> list[artifacts.Json]:
        from fairway.cli import waiting
        from fairway.pipelines import kubeflow, remote_runs

        page, names = limit if deployment is None else kubeflow.PAGE, waiting.names()
        found = kubeflow.every(self._client, namespace=self._namespace, page=page)
        records = (remote_runs.record(run, names=names) for run in found)
        theirs = (one for one in records if deployment in (None, one["deployment"]))
        return list(itertools.islice(theirs, limit))

    def find(self, name: str | None) -> artifacts.Json:
        from fairway.cli import waiting
        from fairway.pipelines import kubeflow

        run = kubeflow.find(self._client, name, namespace=self._namespace)
        return waiting.record_of(self._client, run)

    def log(self, record: artifacts.Json, step: artifacts.Json) -> str:
        from fairway.pipelines import kubeflow

        if step["pod"] is None:
            raise errors.UsageError(
                f"step {step['step']} of {record['run']} has no pod: it is {step['status']}"
            )
        return kubeflow.log_of(self._client, run=record["run"], pod=step["pod"])

    def package(self, record: artifacts.Json) -> tuple[str, str]:
        from fairway.packaging import publish

        store = record["config"].get("platform", {}).get("store")
        if store is None:
            raise errors.UsageError(
                f"run {record['run']} put its package in no store: wanted platform.store in its "
                "configuration"
            )
        return publish.of_run(store, run=record["run"])

    def retry(self, record: artifacts.Json, *, form: str) -> None:
        from fairway.pipelines import kubeflow

        kubeflow.retry(self._client, record["run"])
        said = f"run {record['run']} is tried again"
        options.show({"run": record["run"], "said": said}, form=form, text=said)

    def cancel(self, record: artifacts.Json) -> str:
        from fairway.pipelines import kubeflow

        kubeflow.cancel(self._client, record["run"])
        return f"run {record['run']} was asked to end"


@contextlib.contextmanager
def here(home: Path) -> Iterator[Here | There]:
    yield Here(home)


@contextlib.contextmanager
def there(access: "kubeflow.KubeflowAccess") -> Iterator[Here | There]:
    from fairway.pipelines import kubeflow

    with kubeflow.connected(access) as client:
        yield There(client, namespace=access.namespace)
