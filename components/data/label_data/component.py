"""Late labels as a component: they join the requests that they are about, as rows to learn from."""

from typing import NamedTuple

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def label_data(
    config: str,
    champion: dsl.Input[dsl.Model],
    home: str,
    rows: dsl.Output[dsl.Dataset],
    labels: str = "",
) -> NamedTuple("Labelled", [("config", str), ("labelled", int)]):
    """Bring the rows of `data` as the import does, and beside them the requests whose label came: of
    the event store or, where `labels` is the address of a csv file with request_id and label, of that.
    Gives the configuration in which the newest of them are held out for the comparison."""
    from pathlib import Path

    from fairway.platforms import loop_steps

    settings, labelled = loop_steps.label(
        config,
        champion=(champion.metadata, Path(champion.path)),
        labels=labels,
        home=Path(home),
        out=Path(rows.path),
    )
    rows.metadata.update({"labelled": str(labelled)})
    return settings, labelled
