"""Which revision a spec asks for, and which old ones may be forgotten. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from fairway.config import resource
from fairway.platforms.kubernetes.objects.controllerrevision import Revision


def desired(spec: resource.Spec, *, known: Mapping[str, Revision], default_image: str) -> Revision:
    """Return the revision that the spec asks for.

    Where it names no image, a known revision that is the same but for the operator's default of its
    day is it: an upgrade of the operator starts no rollout. Where its package lies is the spec's to
    say: one that was moved is the same revision.
    """
    for revision in known.values():
        same_image = (
            revision.image == spec.image if spec.image is not None else revision.defaulted_image
        )
        if same_image and _identity(revision) == resource.identity(spec):
            moved = revision.model.uri != spec.model.uri
            return replace(
                revision, model=spec.model, template=None if moved else revision.template
            )
    image = spec.image or default_image
    return Revision(
        name=resource.revision(spec, image=image),
        model=spec.model,
        image=image,
        runtime=spec.runtime,
        serving=spec.serving,
        pod_template=spec.pod_template,
        defaulted_image=spec.image is None,
    )


def number(revision: Revision, *, known: Mapping[str, Revision]) -> int:
    """Return the revision's place in the order of their coming, from 1."""
    others = [other.number for other in known.values() if other.name != revision.name]
    return revision.number or max(others, default=0) + 1


def surplus(
    known: Mapping[str, Revision], *, needed: Collection[str], limit: int
) -> tuple[str, ...]:
    """Return the oldest revisions beyond the `limit` that are kept besides those needed."""
    spare = sorted(
        (revision for revision in known.values() if revision.name not in needed),
        key=lambda revision: revision.number,
    )
    return tuple(revision.name for revision in spare[: max(0, len(spare) - limit)])


def _identity(revision: Revision) -> dict[str, object]:
    return {
        "digest": revision.model.digest,
        "podTemplate": dict(revision.pod_template),
        "runtime": revision.runtime,
        "serving": revision.serving.model_dump(mode="json", by_alias=True),
    }
