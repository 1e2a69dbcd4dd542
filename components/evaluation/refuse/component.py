"""The refusing branch as a component: what the gate said is what the run shows."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse(decision: dsl.Input[dsl.Artifact], fail: bool) -> str:
    """Return the gate's reason for refusing, so that the run shows which branch it took; with
    `fail` the run ends red."""
    import json
    from pathlib import Path

    from fairway import errors

    reason = json.loads(Path(decision.path).read_text())["reason"]
    print(f"the gate refused: {reason}")
    if fail:
        raise errors.Refused(f"the gate refused: {reason}")
    return str(reason)
