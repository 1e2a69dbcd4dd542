"""Everyone outside who is told of a run: an OpenLineage endpoint, an MLflow server."""

import contextlib
from collections.abc import Callable, Iterator

from fairway import artifacts
from fairway.config import sections
from fairway.pipelines import openlineage, run, tracking


@contextlib.contextmanager
def telling(
    config: sections.Config | None, *, warn: Callable[[str], None]
) -> Iterator[run.Recorded]:
    """Give what is called with a run's record at each change; what is not set is told nothing."""
    with (
        openlineage.telling(config, warn=warn) as lineage,
        tracking.tracked(config, warn=warn) as mlflow,
    ):

        def recorded(record: artifacts.Json) -> None:
            lineage(record)
            mlflow(record)

        yield recorded
