"""Where runs are asked for: this machine, or a cluster's Kubeflow Pipelines."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from fairway import errors

if TYPE_CHECKING:
    from fairway.pipelines import kubeflow

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS = (
    click.option(
        "--on",
        type=click.Choice(["local", "kubernetes"]),
        default="local",
        show_default=True,
        help="Here under kfp.local, or on a cluster's Kubeflow Pipelines.",
    ),
    click.option(
        "--host",
        default=None,
        envvar="KF_PIPELINES_ENDPOINT",
        help="Address of the Kubeflow Pipelines API (--on kubernetes); by default the kubeconfig's cluster, through "
        "its API server.",
    ),
    click.option(
        "--namespace",
        "-n",
        default=None,
        help="On a cluster: yours, where Kubeflow Pipelines has several users; by default it has one.",
    ),
    click.option(
        "--context",
        default=None,
        help="On a cluster: the kubeconfig's context, instead of its current one.",
    ),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        default=None,
        help="With --host: a service account's token; by default nobody is named, as an installation of its own wants.",
    ),
    click.option(
        "--cookie-file",
        type=click.Path(path_type=Path),
        default=None,
        help="With --host: the cookie of a browser that logged in there; by default none.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        default=None,
        help="With --host: the authority that signed its certificate; by default the system's.",
    ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runner:
    """What --on, --host and the options that say who asks mean."""

    on: str
    host: str | None
    namespace: str | None
    context: str | None
    token_file: Path | None
    cookie_file: Path | None
    ca_file: Path | None

    @property
    def remote(self) -> bool:
        """Say whether a cluster is meant; raises UsageError where only parts of it are named."""
        if self.on == "kubernetes":
            return True
        named = (self.namespace, self.context, self.token_file, self.cookie_file, self.ca_file)
        if any(named) or _typed("host"):
            raise errors.UsageError(
                "--host, --namespace, --context, --token-file, --cookie-file and --ca-file are of a cluster: add --on "
                "kubernetes"
            )
        return False

    def access(self) -> "kubeflow.KubeflowAccess":
        """Return how Kubeflow Pipelines is asked."""
        from fairway.pipelines import kubeflow

        told = dataclasses.asdict(self)
        del told["on"]
        return kubeflow.KubeflowAccess(**told)


def _typed(option: str) -> bool:
    """Say whether the option was given by hand: its variable may stand for commands of a cluster."""
    said = click.get_current_context(silent=True)
    return said is not None and said.get_parameter_source(option) is ParameterSource.COMMANDLINE


def runner(function: F) -> F:
    """Add --on, --host and who asks, as the argument `where`."""

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        told = {field.name: named.pop(field.name) for field in dataclasses.fields(Runner)}
        return function(*args, where=Runner(**told), **named)

    wrapped: Any = called
    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    found: F = wrapped
    return found
