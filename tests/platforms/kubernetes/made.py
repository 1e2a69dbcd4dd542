"""A deployment with one revision, as the tests of the objects need it."""

from typing import Any

from fairway.config import resource, sections
from fairway.platforms.kubernetes import objects
from fairway.platforms.kubernetes.objects import controllerrevision, names

OWNER = names.Owner(name="income", namespace="models", uid="5f7c")
DIGEST = "sha256:" + "ab" * 32


def spec(**values: Any) -> resource.Spec:
    return resource.Spec.model_validate(
        {
            "model": {"uri": "s3://models/income", "digest": DIGEST},
            "gateway": {"parentRefs": [{"name": "models"}]},
            **values,
        }
    )


def revision(
    *,
    uri: str = "s3://models/income",
    serving: sections.Serving | None = None,
    pod_template: dict[str, Any] | None = None,
) -> controllerrevision.Revision:
    return controllerrevision.Revision(
        name="0123456789ab",
        model=resource.Model(uri=uri, digest=DIGEST),
        image="fairway/server:1",
        runtime="bentoml",
        serving=serving or sections.Serving(),
        pod_template=pod_template or {},
        defaulted_image=True,
    )


def pod(**values: Any) -> dict[str, Any]:
    """Return the pod template of the revision's Deployment."""
    found: dict[str, Any] = objects.for_revision(
        OWNER,
        revision(**values),
        scaling=resource.Scaling(),
        settings=names.ClusterSettings(collector="http://collector:8080"),
    )[0]["spec"]["template"]
    return found
