"""The client of Kubeflow Pipelines: who asks, and each call with its errors translated; and a
component that its SDK loads."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import artifacts, errors

LOG = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"  # the node is the pod; of no generated API
ACCEPT = {"Accept": "text/plain"}
NEWEST = "created_at desc"
MOST_PAGES = 50  # among which a deployment's runs are looked for
PAGE = 100  # of schedules: more of one name than anybody makes


@dataclass(frozen=True, kw_only=True)
class KubeflowAccess:
    """Where Kubeflow Pipelines is asked, and as whom; by default as the kubeconfig says."""

    host: str | None = None
    """Without it, the kubeconfig's cluster is asked through its API server."""
    namespace: str | None = None
    """The user's, where Kubeflow Pipelines has several."""
    context: str | None = None
    token_file: Path | None = None
    """A service account's token, read anew for each request, as Kubernetes replaces it."""
    cookie_file: Path | None = None
    """What a browser that logged in sends, such as `authservice_session=...`."""
    ca_file: Path | None = None

    @property
    def place(self) -> str:
        if self.context is not None:
            return f"the kubeconfig's context {self.context}"
        return self.host or "the current kubeconfig"

    def check(self) -> None:
        """Raise UsageError for what contradicts itself or is not there."""
        if self.host is None and (self.token_file or self.cookie_file):
            raise errors.UsageError(
                "--token-file and --cookie-file go to an address: add --host, or leave them out and "
                "the kubeconfig says who asks"
            )
        if self.host is not None and "://" in self.host and not self.host.startswith("http"):
            raise errors.UsageError(
                f"--host is {self.host}: wanted an address such as https://kubeflow.example.com"
            )
        if self.host is not None and self.context is not None:
            raise errors.UsageError(
                "--context names a cluster of the kubeconfig, and --host an address: give one"
            )
        for option, file in (
            ("--token-file", self.token_file),
            ("--cookie-file", self.cookie_file),
            ("--ca-file", self.ca_file),
        ):
            if file is not None and not file.is_file():
                raise errors.UsageError(f"{option} {file} is not there: wanted a file")


@contextlib.contextmanager
def connected(access: KubeflowAccess) -> Iterator[Any]:
    """Give the client; what it raises inside the block becomes PlatformError where the API refused,
    Unavailable where it does not answer."""
    from kfp_server_api import ApiException, ApiTypeError, ApiValueError
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    access.check()
    if access.context is not None:
        _check_context(access.context)
    try:
        # kfp prints where to look, and standard output is for the record
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            # that the client wants a backend of version 2
            warnings.simplefilter("ignore", FutureWarning)
            yield _client(access)
    except ApiException as error:
        # a gateway before it says 502 or 503 while the API is replaced
        passing = (error.status or 0) >= 500
        kind = errors.Unavailable if passing else errors.PlatformError
        raise kind(
            f"Kubeflow Pipelines at {access.place} refused: {error.status} {_line(error.body or error.reason)}"
        ) from error
    except (
        ApiTypeError,
        ApiValueError,
    ) as error:  # such as an answer without the id that was asked for
        raise _foreign(access.place, _line(error)) from error
    except (HTTPError, OSError, ConfigException) as error:
        why = _line(getattr(error, "reason", None) or error)
        raise errors.Unavailable(
            f"Kubeflow Pipelines does not answer at {access.place}: {why}; name it with --host"
        ) from error


def _client(access: KubeflowAccess) -> Any:
    import kfp

    class PromptClient(kfp.Client):  # type: ignore[misc]
        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            """Ask once: kfp asks five times, five seconds apart, and prints a traceback for each."""
            found = self._healthz_api.healthz_service_get_healthz()
            said = str(self._healthz_api.api_client.last_response.data)
            if not said.lstrip().startswith("{"):
                raise _foreign(access.place, f"its health is {errors.shortened(_line(said))!r}")
            return found

    return PromptClient(**arguments(access))


def _foreign(place: str, why: str) -> errors.PlatformError:
    return errors.PlatformError(
        f"{place} does not answer as Kubeflow Pipelines does ({why}): name its API with --host"
    )


def identity(made: object, *, access: KubeflowAccess) -> str:
    """Return the id of what the API made; raises PlatformError where it made nothing."""
    if made is None:
        raise _foreign(access.place, "what it made has no id")
    return str(made)


def _check_context(name: str) -> None:
    """Raise UsageError for a context that the kubeconfig does not have: kfp says so in words of its own,
    and asks this machine."""
    from kubernetes.config import ConfigException, kube_config

    place = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        found = kube_config.KubeConfigMerger(place).config
    except (ConfigException, OSError) as error:
        raise errors.UsageError(
            f"--context is {name}, and the kubeconfig {place} cannot be read ({_line(error)}): set KUBECONFIG to one "
            "that has this context, or name the API with --host"
        ) from error
    contexts = found.value.get("contexts") if found is not None else None
    names = [str(one["name"]) for one in contexts or ()]
    if name not in names:
        there = f"has {', '.join(names)}" if names else "has none"
        raise errors.UsageError(
            f"--context is {name}, and the kubeconfig {place} {errors.shortened(there)}: name one that it has, or set "
            "KUBECONFIG to another"
        )


def component(file: Path) -> Any:
    """Return the component of a compiled YAML, to be called within a pipeline's function."""
    from kfp import components

    return components.load_component_from_file(str(file))


def arguments(access: KubeflowAccess) -> dict[str, Any]:
    """Return what `kfp.Client` is made with."""
    from kfp import client

    found: dict[str, Any] = {"host": access.host}
    if access.namespace:
        found["namespace"] = access.namespace
    if access.context:
        found["kube_context"] = access.context
    if access.token_file:
        path = str(access.token_file)
        found["credentials"] = client.ServiceAccountTokenVolumeCredentials(path=path)
    if access.cookie_file:
        found["cookies"] = access.cookie_file.read_text(encoding="utf-8").strip()
    if access.ca_file:
        found["ssl_ca_cert"] = str(access.ca_file)
    return found


def newest(client: Any, *, namespace: str | None, limit: int, name: str | None = None) -> list[Any]:
    """Return the newest runs, or those of a name."""
    return (
        client.list_runs(
            page_size=limit,
            sort_by=NEWEST,
            namespace=namespace,
            filter=_named(name) if name else None,
        ).runs
        or []
    )


def every(client: Any, *, namespace: str | None, page: int) -> Iterator[Any]:
    """Yield the newest runs, as many as are taken, asked for page by page; of very many the first."""
    token = ""
    for _ in range(MOST_PAGES):
        found = client.list_runs(
            page_token=token, page_size=page, sort_by=NEWEST, namespace=namespace
        )
        yield from found.runs or ()
        token = found.next_page_token or ""
        if not token:
            return


def find(client: Any, name: str | None, *, namespace: str | None) -> Any:
    """Return a run by its id or as the newest of its name, by default the newest of all."""
    from kfp_server_api import ApiException

    found = newest(client, namespace=namespace, limit=1, name=name)
    if found:
        return client.get_run(found[0].run_id)
    if name is None:
        raise errors.UsageError("Kubeflow Pipelines has no run: `fairway run training` makes one")
    try:
        return client.get_run(name)
    except ApiException as error:
        if error.status != 404:
            raise
        raise errors.UsageError(
            f"Kubeflow Pipelines has no run with the name or id {name}: `fairway runs list --on kubernetes` lists them"
        ) from error


def log_of(client: Any, *, run: str, pod: str) -> str:
    """Return what a step's pod wrote, from the pod or the archive; raises MissingFile where neither
    is there."""
    from kfp_server_api import ApiException

    api = client._run_api.api_client
    try:
        text: str = api.call_api(
            LOG,
            "GET",
            path_params={"run_id": run, "node_id": pod},
            header_params=dict(ACCEPT),
            response_type="str",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
        )
    except ApiException as error:
        raise errors.MissingFile(
            f"the log of pod {pod} of run {run} cannot be read: {error.status} {_line(error.body or error.reason)}"
        ) from error
    return text


def cancel(client: Any, run: str) -> None:
    client.terminate_run(run)


def retry(client: Any, run: str) -> None:
    """Have the failed steps of a run done again."""
    client._run_api.run_service_retry_run(run)


def scheduled(client: Any, name: str, *, namespace: str | None) -> list[str]:
    """Return the ids of the recurring runs of a name."""
    found = client.list_recurring_runs(
        page_size=PAGE, namespace=namespace, filter=_named(name)
    ).recurring_runs
    return [str(one.recurring_run_id) for one in found or ()]


def _named(name: str) -> str:
    one = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    predicates: artifacts.Json = {"predicates": [one]}
    return json.dumps(predicates)


def _line(words: object) -> str:
    return " ".join(str(words).split())[:200]
