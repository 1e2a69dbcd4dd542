"""Pipelines submitted to a cluster's Kubeflow Pipelines."""

import contextlib
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.pipelines import compiled, pitfalls, travel

EXPERIMENT = "fairway"
GOING_ON = frozenset({"RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING", "PAUSED"})


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a run shall do besides training."""

    deploy: bool = False
    """Deploy the package where the gate lets it through."""
    watch: bool = False
    """End with the rollout, red where it is rolled back."""
    fail_on_refusal: bool = False
    """End red where the gate refuses."""
    compare: bool = True
    """Compare with the model in service."""


# -- on a cluster ----------------------------------------------------------------------------------


def submit(
    config: sections.Config,
    *,
    host: str | None,
    asked: Wishes,
    namespace: str | None = None,
    name: str | None = None,
) -> artifacts.Json:
    """Start a run of the training pipeline on a cluster; gives its id, name, pipeline and whether
    it was adopted.

    A run of the same name that has not ended is adopted rather than started twice; by default the
    name says what is asked for, so that asking twice is one run. Raises Unavailable where the API
    does not answer, PlatformError for a pipeline that is not sound.
    """
    import kfp
    from kfp_server_api import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    config = travel.ready(config, deploys=asked.deploy)
    documents = compiled.for_training(config)
    variant = compiled.TRAINING[config.pipeline.train.gpu > 0]
    pitfalls.require(documents, environment=config.environment, what=variant)
    arguments = {
        "config": json.dumps(config.model_dump(mode="json", by_alias=True)),
        "compare_with": "" if asked.compare else "none",
        "deploy_package": asked.deploy,
        "watch": asked.watch,
        "fail_on_refusal": asked.fail_on_refusal,
    }
    run_name = name or run_name_of(config.name, documents, arguments)
    place = host or "the current kubeconfig"
    try:
        # kfp prints where to look, and standard output is for the record
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            # that the client wants a backend of version 2
            warnings.simplefilter("ignore", FutureWarning)
            client = kfp.Client(host=host, **({"namespace": namespace} if namespace else {}))
            found = adopted(_runs(client, run_name, namespace), name=run_name)
            started = found or _start(
                client,
                documents,
                arguments,
                name=run_name,
                namespace=namespace,
                account=config.pipeline.service_account,
            )
    except ApiException as error:
        raise errors.PlatformError(
            f"Kubeflow Pipelines at {place} refused: {error.status} {_line(error.body or error.reason)}"
        ) from error
    except (HTTPError, OSError, ConfigException) as error:
        why = _line(getattr(error, "reason", None) or error)
        raise errors.Unavailable(
            f"Kubeflow Pipelines does not answer at {place}: {why}; name it with --host"
        ) from error
    return {"run": started, "name": run_name, "pipeline": variant, "adopted": found is not None}


def run_name_of(name: str, documents: compiled.Documents, arguments: artifacts.Json) -> str:
    """Return a name that is the same for the same request: pipeline, image, resources,
    configuration, champion."""
    asked = hashlib.sha256(files.canonical([*documents, arguments])).hexdigest()
    return f"{name}-training-{asked[:8]}"


def adopted(runs: Iterable[Any], *, name: str) -> str | None:
    """Return the id of a run of this name that has not ended."""
    for run in runs:
        if run.display_name == name and (run.state or "PENDING") in GOING_ON:
            return str(run.run_id)
    return None


def _runs(client: Any, name: str, namespace: str | None) -> Iterable[Any]:
    """Return the newest runs of this name."""
    wanted = json.dumps(
        {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
    )
    return (
        client.list_runs(
            page_size=20, sort_by="created_at desc", namespace=namespace, filter=wanted
        ).runs
        or ()
    )


def _start(
    client: Any,
    documents: compiled.Documents,
    arguments: artifacts.Json,
    *,
    name: str,
    namespace: str | None,
    account: str | None,
) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pipeline.yaml"
        file.write_text(compiled.write(documents), encoding="utf-8")
        started = client.create_run_from_pipeline_package(
            str(file),
            arguments=arguments,
            run_name=name,
            experiment_name=EXPERIMENT,
            namespace=namespace,
            service_account=account,
        )
    return str(started.run_id)


def _line(words: object) -> str:
    return " ".join(str(words).split())[:200]
