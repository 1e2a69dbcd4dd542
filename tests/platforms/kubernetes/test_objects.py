"""The objects of a deployment: what is in them, what follows from what."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairway import errors
from fairway.config import resource, sections
from fairway.platforms.kubernetes import objects
from fairway.platforms.kubernetes.objects import controllerrevision, names, pods, scalers
from fairway.serving import command
from tests.platforms.kubernetes import made

POD = Path(__file__).parent / "pod.yaml"
PLAIN = names.ClusterSettings()
EVERYTHING = names.ClusterSettings(
    collector="http://collector:8080",
    service_monitors=True,
    keda=True,
    prometheus="http://prometheus:9090",
)


def rendered(
    *, settings: names.ClusterSettings = PLAIN, owner: names.Owner = made.OWNER, **scaling: int
) -> dict[str, dict[str, Any]]:
    found = [
        objects.controller_revision(owner, made.revision(), number=1, settings=settings),
        *objects.for_revision(
            owner, made.revision(), scaling=resource.Scaling(**scaling), settings=settings
        ),
        *objects.for_deployment(owner, made.spec(), settings=settings),
    ]
    return {obj["kind"]: obj for obj in found}


def test_a_revisions_pods_are_what_they_were() -> None:
    """An operator that writes other pods restarts what serves: change this file only with a reason."""
    assert made.pod() == yaml.safe_load(POD.read_text())


def test_the_server_reads_back_what_its_environment_says() -> None:
    serving = sections.Serving.model_validate({"workers": 2, "events": {"sample": 0.5}})
    env = {e["name"]: e["value"] for e in made.pod(serving=serving)["spec"]["containers"][0]["env"]}
    read = command.read({**env, "FAIRWAY_PACKAGE": "/models/package"})
    assert (read.deployment, read.namespace, read.revision, read.collector) == (
        "income",
        "models",
        "0123456789ab",
        "http://collector:8080",
    )
    assert (read.serving, read.spool, read.drain_seconds) == (serving, Path("/spool"), 1.0)


def test_serving_keys_at_their_defaults_are_not_told_to_an_image_that_may_not_know_them() -> None:
    env = {e["name"]: e["value"] for e in made.pod()["spec"]["containers"][0]["env"]}
    assert env["FAIRWAY_SERVING"] == "{}"


def test_a_claim_is_mounted_for_the_init_step_alone() -> None:
    pod = made.pod(uri="pvc://packages/income/7")["spec"]
    assert pod["initContainers"][0]["command"][:3] == [
        "fairway",
        "fetch",
        "file:///source/income/7",
    ]
    assert {
        "name": "source",
        "persistentVolumeClaim": {"claimName": "packages", "readOnly": True},
    } in pod["volumes"]
    assert "source" not in [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]


@pytest.mark.parametrize(
    ("uri", "read"),
    [
        ("pvc://packages", "file:///source"),
        ("pvc://packages/", "file:///source"),
        ("s3://b/p", "s3://b/p"),
    ],
)
def test_the_init_step_reads_the_packages_place(uri: str, read: str) -> None:
    assert made.pod(uri=uri)["spec"]["initContainers"][0]["command"][2] == read


def test_a_claim_that_no_cluster_could_have_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match="wanted pvc://claim/folder"):
        made.pod(uri="pvc://Not_A_Claim/x")


def test_a_pod_has_time_for_its_longest_request() -> None:
    assert made.pod()["spec"]["terminationGracePeriodSeconds"] == 45
    assert (
        made.pod(serving=sections.Serving.model_validate({"timeout": "2m"}))["spec"][
            "terminationGracePeriodSeconds"
        ]
        == 135
    )


def test_everything_goes_when_its_resource_goes() -> None:
    for obj in rendered(settings=EVERYTHING).values():
        owner = obj["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
            "ModelDeployment",
            "5f7c",
            True,
            False,
        )


def test_on_paper_nothing_is_owned() -> None:
    owner = dataclasses.replace(made.OWNER, uid="")
    assert not any(
        "ownerReferences" in obj["metadata"]
        for obj in rendered(owner=owner, settings=EVERYTHING).values()
    )


def test_names_fit_the_longest_deployment() -> None:
    owner = dataclasses.replace(made.OWNER, name="a" * 50)
    assert (
        max(
            len(obj["metadata"]["name"])
            for obj in rendered(owner=owner, settings=EVERYTHING).values()
        )
        == 63
    )


def test_selectors_match_the_pods_they_mean() -> None:
    found = rendered()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert labels >= selector.items()
    assert (
        names.selector(made.OWNER, "0123456789ab")
        == "fairway.dev/deployment=income,fairway.dev/revision=0123456789ab"
    )


@pytest.mark.parametrize(
    ("scaling", "settings", "kind"),
    [
        ({}, PLAIN, "HorizontalPodAutoscaler"),
        ({"min_replicas": 3, "max_replicas": 3}, PLAIN, None),
        ({"concurrency": 8}, EVERYTHING, "ScaledObject"),
        ({"concurrency": 8}, PLAIN, "HorizontalPodAutoscaler"),
        ({"concurrency": 8, "max_replicas": 2}, EVERYTHING, None),
    ],
    ids=["cpu", "fixed", "concurrency", "no KEDA", "fixed, with KEDA"],
)
def test_one_thing_owns_the_number_of_replicas(
    scaling: dict[str, int], settings: names.ClusterSettings, kind: str | None
) -> None:
    found = rendered(settings=settings, **scaling)
    owners = [other for other in ("HorizontalPodAutoscaler", "ScaledObject") if other in found]
    assert owners == ([kind] if kind else [])
    assert found["Deployment"]["spec"].get("replicas") == (
        None if kind else scaling.get("min_replicas", 2)
    )


def test_concurrency_without_keda_is_said() -> None:
    scaling = resource.Scaling(concurrency=8)
    assert "needs KEDA" in (scalers.unmet(scaling, settings=PLAIN) or "")
    assert scalers.unmet(scaling, settings=EVERYTHING) is None
    assert scalers.unmet(resource.Scaling(), settings=PLAIN) is None


def test_keda_asks_for_a_metric_that_the_servers_have() -> None:
    from fairway.serving import admission, meters

    query = rendered(settings=EVERYTHING, concurrency=8)["ScaledObject"]["spec"]["triggers"][0][
        "metadata"
    ]["query"]
    described = meters.SECONDS.describe()[0]
    assert f"rate({described.name}_sum{{" in query
    assert (
        f"{scalers.SHED_SECONDS:g} * sum(rate({meters.REQUESTS.describe()[0].name}_total{{" in query
    )
    assert scalers.SHED_SECONDS == admission.LONGEST_WAIT
    assert {"namespace", "deployment", "revision"} <= set(meters.LABELS)


def test_only_the_servers_port_is_let_in() -> None:
    spec = rendered()["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": 3000, "protocol": "TCP"}]}]


def test_seldons_wrapper_takes_requests_from_gateways_and_prometheus_only() -> None:
    settings = dataclasses.replace(PLAIN, seldon_from=("gateways", "metrics"))
    (policy, *_) = objects.for_deployment(
        made.OWNER, made.spec(runtime="seldon"), settings=settings
    )
    (ingress,) = policy["spec"]["ingress"]
    assert ingress["ports"] == [{"port": 9000, "protocol": "TCP"}]
    (named,) = ingress["from"][0]["namespaceSelector"]["matchExpressions"]
    assert (named["key"], named["operator"], named["values"]) == (
        "kubernetes.io/metadata.name",
        "In",
        ["gateways", "metrics"],
    )


def test_a_service_monitor_comes_with_prometheus_operator() -> None:
    assert "ServiceMonitor" not in rendered()
    monitor = rendered(settings=EVERYTHING)["ServiceMonitor"]["spec"]
    assert (
        monitor["selector"]["matchLabels"].items()
        <= rendered()["Service"]["metadata"]["labels"].items()
    )
    [endpoint] = monitor["endpoints"]
    assert endpoint["port"] == rendered()["Service"]["spec"]["ports"][0]["name"]
    assert endpoint["honorLabels"] is False
    assert {"action": "drop", "sourceLabels": ["__name__"], "regex": "envoy_.*"} in endpoint[
        "metricRelabelings"
    ]


def test_a_pod_has_a_token_for_the_collector_alone_and_none_for_the_api_server() -> None:
    spec = rendered()["Deployment"]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    [volume] = [volume for volume in spec["volumes"] if "projected" in volume]
    assert volume["projected"]["sources"] == [
        {
            "serviceAccountToken": {
                "audience": "fairway-collector",
                "expirationSeconds": 3600,
                "path": "token",
            }
        }
    ]
    [server], [fetch] = spec["containers"], spec["initContainers"]
    [mount] = [mount for mount in server["volumeMounts"] if mount["name"] == volume["name"]]
    assert {"name": "FAIRWAY_COLLECTOR_TOKEN", "value": f"{mount['mountPath']}/token"} in server[
        "env"
    ]
    assert volume["name"] not in [mount["name"] for mount in fetch["volumeMounts"]]


def test_a_revision_survives_its_controller_revision() -> None:
    revision = made.revision(
        pod_template={"spec": {"nodeSelector": {"a": "b"}}}, serving=sections.Serving(workers=2)
    )
    kept = objects.controller_revision(made.OWNER, revision, number=7, settings=EVERYTHING)
    assert controllerrevision.read(kept) == dataclasses.replace(
        revision, number=7, template=kept["data"]["template"]
    )


def test_an_operator_of_another_version_restarts_nothing_that_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = controllerrevision.read(
        objects.controller_revision(made.OWNER, made.revision(), number=1, settings=EVERYTHING)
    )
    before = pods.template(made.OWNER, kept, EVERYTHING)
    monkeypatch.setattr(pods, "STARTUP", {"periodSeconds": 7, "failureThreshold": 70})
    assert pods.template(made.OWNER, made.revision(), EVERYTHING) != before
    assert pods.template(made.OWNER, kept, EVERYTHING) == before


def test_where_events_go_is_as_of_now() -> None:
    kept = controllerrevision.read(
        objects.controller_revision(made.OWNER, made.revision(), number=1, settings=EVERYTHING)
    )
    moved = pods.template(
        made.OWNER, kept, dataclasses.replace(EVERYTHING, collector="http://elsewhere:8080")
    )
    assert {"name": "FAIRWAY_COLLECTOR", "value": "http://elsewhere:8080"} in moved["spec"][
        "containers"
    ][0]["env"]


CERTIFICATES = {"secret": {"secretName": "fairway-server-tls"}}
CSI = {"csi": {"driver": "spiffe.csi.cert-manager.io", "readOnly": True}}


@pytest.mark.parametrize("source", [CERTIFICATES, CSI], ids=["a Secret", "a csi volume"])
def test_a_server_has_a_certificate_instead_of_a_token_and_knows_its_pod(
    source: dict[str, Any],
) -> None:
    settings = dataclasses.replace(
        EVERYTHING, collector="https://collector:8080", certificates=source
    )
    spec = pods.template(made.OWNER, made.revision(), settings)["spec"]
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == pods.IDENTITY_VOLUME]
    assert volume == {"name": pods.IDENTITY_VOLUME, **source}
    env = {variable.pop("name"): variable for variable in spec["containers"][0]["env"]}
    assert env["FAIRWAY_COLLECTOR_CERTIFICATES"] == {"value": pods.IDENTITY}
    assert env["FAIRWAY_POD"] == {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert "FAIRWAY_COLLECTOR_TOKEN" not in env


def test_what_proves_whose_events_are_is_as_of_now_there_and_back() -> None:
    by_certificate = dataclasses.replace(EVERYTHING, certificates=CERTIFICATES)
    by_token = pods.template(made.OWNER, made.revision(), EVERYTHING)
    kept = dataclasses.replace(made.revision(), template=by_token)
    there = pods.template(made.OWNER, kept, by_certificate)
    assert there == pods.template(made.OWNER, made.revision(), by_certificate)
    assert (
        pods.template(made.OWNER, dataclasses.replace(kept, template=there), EVERYTHING) == by_token
    )


def test_a_token_s_volume_stays_as_it_was_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dataclasses.replace(
        made.revision(), template=pods.template(made.OWNER, made.revision(), EVERYTHING)
    )
    monkeypatch.setattr(pods, "TOKEN_SECONDS", 600)
    assert pods.template(made.OWNER, kept, EVERYTHING) == kept.template


def _deployment(*managers: str, replicas: int = 4) -> dict[str, Any]:
    """A Deployment whose number of replicas the managers set."""
    fields = [
        {"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}} for manager in managers
    ]
    return {
        "metadata": {
            "name": "income-a",
            "namespace": "models",
            "managedFields": [*fields, {"manager": "other", "fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {"replicas": replicas},
    }


def test_replicas_are_handed_to_an_autoscaler_as_they_are() -> None:
    handed = scalers.handed_over(_deployment("us"), manager="us")
    assert handed is not None
    assert handed["spec"] == {"replicas": 4}
    assert handed["metadata"] == {"name": "income-a", "namespace": "models"}
    assert scalers.handed_over(_deployment("kube-controller-manager"), manager="us") is None


@pytest.mark.parametrize(
    "damage",
    [{"data": None}, {"data": {"model": {}}}, {"metadata": {"name": "income-0", "labels": {}}}],
    ids=["no data", "other data", "no label"],
)
def test_a_controller_revision_of_somebody_else_is_refused_by_name(damage: dict[str, Any]) -> None:
    obj = {
        **objects.controller_revision(made.OWNER, made.revision(), number=1, settings=EVERYTHING),
        **damage,
    }
    with pytest.raises(errors.PlatformError, match=obj["metadata"]["name"]):
        controllerrevision.read(obj)
