"""Pipelines submitted: to a cluster's Kubeflow Pipelines, or run here under kfp.local. The only kfp import.

    python -m fairway.retraining.submit REQUEST.json      # what `run` starts as a process of its own
"""

import json
import sys
from pathlib import Path
from typing import Any

from fairway import artifacts, errors
from fairway.config import schema
from fairway.retraining import run

EXPERIMENT = "fairway"


def submit(config: schema.Config, *, host: str | None, champion: Path | None, deploy: bool) -> artifacts.Json:
    """Starts a run of the training pipeline on a cluster; gives its id and name. Raises Unavailable where the API does not answer."""
    import kfp
    from urllib3.exceptions import HTTPError

    variant = "training-gpu.yaml" if config.pipeline.train.gpu else "training.yaml"
    arguments = {"config": json.dumps(config.model_dump(mode="json", by_alias=True)), "champion": str(champion or ""), "store": "", "home": "",
                 "deploy_package": deploy}
    try:
        client = kfp.Client(host=host)
        started = client.create_run_from_pipeline_package(str(run.compiled(variant)), arguments=arguments, run_name=f"{config.name}-training",
                                                          experiment_name=EXPERIMENT)
    except (HTTPError, OSError, ValueError) as error:
        place = host or "the current kubeconfig"
        raise errors.Unavailable(f"Kubeflow Pipelines does not answer at {place}: {' '.join(str(error).split())[:200]}; name it with --host") from error
    return {"run": started.run_id, "name": f"{config.name}-training", "pipeline": variant}


def here(request: artifacts.Json) -> None:
    """Runs the compiled pipeline under kfp.local with this environment; nothing is installed, nothing is fetched."""
    from kfp import components, local

    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=request["root"], raise_on_error=True)
    pipeline: Any = components.load_component_from_file(request["pipeline"])
    pipeline(**request["arguments"])


if __name__ == "__main__":
    here(artifacts.read_json(Path(sys.argv[1])))
