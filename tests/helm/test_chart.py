"""The chart: what it renders, what it refuses and with which sentence, and what its pods and roles
may."""

import json
import subprocess
import sys
import time
import uuid

import pytest
import yaml

from fairway.cli import collector, operator, trial
from fairway.platforms.kubernetes import counts
from manifests import alerting
from tests.cluster import stack, world
from tests.helm import rendering
from tests.helm.rendering import CHART, PROMETHEUS, ROOT, VARIANTS

pytestmark = pytest.mark.cluster

WHERE = {  # canonical: asked for
    "https://github.com/fairway-ml/fairway/blob/main/manifests/monitoring/runbooks": "https://runbooks.example/fairway",
    "http://localhost:3000": "https://grafana.example",
    "http://localhost:9093": "https://alerts.example",
}
OTHERS = ("monitoring.coreos.com", "cert-manager.io")  # kinds that a cluster may not have

REFUSED = {
    "no Prometheus": (
        {"prometheus": {"url": ""}},
        "prometheus.url is empty: wanted where the gateway's counters are read",
    ),
    "Prometheus without a scheme": (
        {"prometheus": {"url": "prometheus:9090"}},
        "at '/prometheus/url': 'prometheus:9090' does not match",
    ),
    "a gateway by name alone": (
        {"prometheus": {"url": "http://prometheus:9090", "gatewayLabels": {"namespace": None}}},
        "at '/prometheus/gatewayLabels': value must be 'at least one label that only the scrape of the gateway has",
    ),
    "a gateway elsewhere than its scrape": (
        {"monitoring": {"gatewayProxies": True, "gatewayNamespace": "gateways"}},
        "prometheus.gatewayLabels.namespace is envoy-gateway-system, but the proxies are scraped in",
    ),
    "namespaced without namespaces": (
        {"rbac": {"namespaced": True}},
        "at '/namespaces': value must be 'at least one name where rbac.namespaced is true",
    ),
    "a namespace that is none": (
        {"namespaces": ["Models"]},
        "at '/namespaces/0': 'Models' does not match",
    ),
    "two stores": (
        {"collector": {"postgresql": {"secretName": "events"}}},
        "at '/collector/persistence/enabled': value must be 'false where postgresql.secretName is set",
    ),
    "a claim that nothing uses": (
        {"collector": {"persistence": {"enabled": False, "existingClaim": "mine"}}},
        "at '/collector/persistence/existingClaim': value must be 'empty while persistence.enabled is false",
    ),
    "a class for a claim that is there": (
        {"collector": {"persistence": {"storageClass": "fast", "existingClaim": "mine"}}},
        "at '/collector/persistence/storageClass': value must be 'empty beside existingClaim",
    ),
    "certificates that say nothing": (
        {"collector": {"identity": "mtls", "auth": "none"}},
        "at '/collector/auth': value must be 'kubernetes where collector.identity is mtls",
    ),
    "an issuer for tokens": (
        {"collector": {"tls": {"issuer": {"name": "mesh"}}}},
        "at '/collector/identity': value must be 'mtls where collector.tls names an issuer or a volume",
    ),
    "certificates beside tokens": (
        {"collector": {"tls": {"servers": {"secret": {"secretName": "mine"}}}}},
        "at '/collector/identity': value must be 'mtls where collector.tls names an issuer or a volume",
    ),
    "two volumes for one certificate": (
        {
            "collector": {
                "identity": "mtls",
                "tls": {"servers": {"secret": {"secretName": "a"}, "csi": {"driver": "b"}}},
            }
        },
        "at '/collector/tls/servers': maxProperties: got 2, want 1",
    ),
    "neither tokens nor certificates": (
        {"collector": {"identity": ""}},
        "at '/collector/identity': value must be one",
    ),
    "peers without a policy": (
        {"networkPolicy": {"enabled": False, "collectorFrom": [{"podSelector": {}}]}},
        "at '/networkPolicy/collectorFrom': value must be '[] while networkPolicy.enabled is false",
    ),
    "labels for no monitor": (
        {"monitoring": {"labels": {"release": "prometheus"}}},
        "at '/monitoring/labels': value must be '{} while neither",
    ),
    "a canary without a package": (
        {"tests": {"canary": {**rendering.CANARY, "model": {}}}},
        "at '/tests/canary/model/uri': value must be 'the address of a package",
    ),
    "a package without a digest": (
        {"tests": {"canary": {**rendering.CANARY, "model": {"uri": "s3://models/a"}}}},
        "at '/tests/canary/model/digest': value must be 'the digest of canary.model.uri",
    ),
    "a canary that reaches no gateway": (
        {"tests": {"canary": {**rendering.CANARY, "url": ""}}},
        "at '/tests/canary/url': value must be 'where canary.gateway is",
    ),
    "a canary without a gateway": (
        {"tests": {"canary": {**rendering.CANARY, "gateway": ""}}},
        "at '/tests/canary/gateway': value must be 'the name of a Gateway",
    ),
    "runbooks that are nowhere": (
        {"monitoring": {"runbooks": "runbooks"}},
        "at '/monitoring/runbooks': 'runbooks' does not match",
    ),
    "a third operator": (
        {"operator": {"replicas": 3}},
        "at '/operator/replicas': maximum: got 3, want 2",
    ),
    "a tag as a digest": (
        {"operator": {"image": {"digest": "latest"}}},
        "at '/operator/image/digest': 'latest' does not match",
    ),
    "root": ({"runAsUser": 0}, "at '/runAsUser': minimum: got 0, want 1"),
    "an unknown value": (
        {"operator": {"replica": 2}},
        "at '/operator': additional properties 'replica' not allowed",
    ),
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def rendered(binaries, request):
    return rendering.render(binaries, request.param)


def test_lint_finds_nothing(binaries):
    done = subprocess.run(
        [binaries / "helm", "lint", "--strict", CHART], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_defaults_give_one_operator_and_one_collector_with_a_volume(binaries):
    found = rendering.render(binaries)
    assert sorted(
        (obj["metadata"]["name"], obj["spec"]["replicas"])
        for obj in rendering.of_kind(found, "Deployment")
    ) == [("fairway-collector", 1), ("fairway-monitor-0", 1), ("fairway-operator", 1)]
    assert [
        obj["metadata"]["annotations"] for obj in rendering.of_kind(found, "PersistentVolumeClaim")
    ] == [{"helm.sh/resource-policy": "keep"}]
    assert not rendering.of_kind(
        found, "PodDisruptionBudget", "ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"
    )
    assert [obj["metadata"]["name"] for obj in rendering.of_kind(found, "Pod")] == ["fairway-test"]


@pytest.mark.parametrize(("values", "says"), REFUSED.values(), ids=REFUSED)
def test_contradictions_are_refused_with_a_sentence(binaries, values, says):
    done = rendering.helm(binaries, "template", "fairway", values={**PROMETHEUS, **values})
    assert done.returncode != 0
    assert says in done.stderr


def test_no_role_has_a_wildcard_or_reads_secrets(rendered):
    for group, resource, verb in rendering.rules(rendered):
        assert "*" not in group + resource + verb
        assert resource not in ("secrets", "pods/exec")


def test_the_operator_writes_only_what_it_owns(binaries):
    found = rendering.render(binaries)
    allowed = set(rendering.rules(found, "fairway-operator", "fairway-operator-lease"))
    assert {resource for _, resource, verb in allowed if verb == "delete"} == {
        "services",
        "controllerrevisions",
        "deployments",
        "horizontalpodautoscalers",
        "scaledobjects",
        "poddisruptionbudgets",
        "seldondeployments",
    }
    assert {verb for _, resource, verb in allowed if resource == "modeldeployments"} == {
        "get",
        "list",
        "watch",
    }
    assert {verb for _, resource, verb in allowed if resource == "leases"} == {
        "create",
        "get",
        "update",
    }
    assert ("", "pods", "delete") not in allowed


def test_a_namespaced_release_has_nothing_cluster_wide_but_the_right_to_ask_whose_a_token_is(
    binaries,
):
    found = rendering.render(binaries, VARIANTS["namespaced"])
    [binding] = [obj for obj in found if obj["kind"].startswith("Cluster")]
    assert (binding["kind"], binding["roleRef"]["name"]) == (
        "ClusterRoleBinding",
        "system:auth-delegator",
    )
    assert [subject["name"] for subject in binding["subjects"]] == ["fairway-collector"]
    roles = {
        (obj["metadata"]["namespace"], obj["metadata"]["name"])
        for obj in rendering.of_kind(found, "Role")
    }
    assert roles == {
        ("fairway-system", "fairway-operator-lease"),
        ("fairway-system", "fairway-monitor-lease"),
        *(
            (namespace, f"fairway-{who}")
            for namespace in ("models", "research")
            for who in (
                "operator",
                "editor",
                "viewer",
                "collector",
                "evidence-reader",
                "labeller",
                "monitor",
                "retraining",
            )
        ),
    }
    [container] = rendering.one(found, "Deployment", "fairway-operator")["spec"]["template"][
        "spec"
    ]["containers"]
    assert [argument for argument in container["args"] if argument.startswith("--namespace=")] == [
        "--namespace=models",
        "--namespace=research",
    ]


def test_users_roles_add_to_edit_and_view(binaries):
    found = rendering.render(binaries)
    for name, aggregate, verbs in (
        ("fairway-editor", "edit", {"create", "update", "patch", "delete"}),
        ("fairway-viewer", "view", set()),
    ):
        labels = rendering.one(found, "ClusterRole", name)["metadata"]["labels"]
        assert [label for label in labels if "aggregate" in label] == [
            f"rbac.authorization.k8s.io/aggregate-to-{aggregate}"
        ]
        written = [
            (resource, verb)
            for _, resource, verb in rendering.rules(found, name)
            if verb not in ("get", "list", "watch")
        ]
        assert set(written) == {("modeldeployments", verb) for verb in verbs}


def test_admission_is_on_unless_nothing_cluster_wide_may_be_made(binaries):
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    on = rendering.of_kind(rendering.render(binaries), *kinds)
    assert (
        sorted(obj["metadata"]["name"] for obj in on)
        == ["fairway-modeldeployments"] * 2 + ["fairway-monitor"] * 2 + ["fairway-operator"] * 2
    )
    assert all(obj["spec"]["failurePolicy"] == "Fail" for obj in on if obj["kind"] == kinds[0])
    assert all(
        obj["spec"]["validationActions"] == ["Deny"] for obj in on if obj["kind"] == kinds[1]
    )
    for values in (
        {"admission": {"enabled": False}},
        {"rbac": {"namespaced": True}, "namespaces": ["models"]},
    ):
        assert not rendering.of_kind(rendering.render(binaries, {**PROMETHEUS, **values}), *kinds)


def test_what_admission_lets_pass_is_the_chart_s_to_say(binaries):
    values = {
        "admission": {
            "hostAccess": True,
            "serviceAccounts": ["reader"],
            "hostnameDomain": "example.com",
        },
        "namespaces": ["models"],
    }
    found = rendering.render(binaries, {**PROMETHEUS, **values})
    asked, written = (
        json.dumps(rendering.one(found, "ValidatingAdmissionPolicy", f"fairway-{of}")["spec"])
        for of in ("modeldeployments", "operator")
    )
    assert "hostPath" not in asked + written
    assert "['','default','reader']" in asked
    assert "'.' + request.namespace + '.example.com'" in asked
    assert "request.namespace in ['models']" in written


def test_the_operator_may_write_every_kind_that_admission_binds_it_to(binaries):
    found = rendering.render(binaries)
    [rule] = rendering.one(found, "ValidatingAdmissionPolicy", "fairway-operator")["spec"][
        "matchConstraints"
    ]["resourceRules"]
    written = {
        resource
        for _, resource, verb in rendering.rules(found, "fairway-operator")
        if verb in ("create", "patch", "delete")
    }
    assert written - {"events", "leases"} <= set(rule["resources"])


def test_queries_and_networks_reach_the_operator(binaries):
    query = 'sum(a{ns="{namespace}",service="{service}"})'
    values = {
        "operator": {
            "counts": {"istio": {"requests": query, "errors": query}},
            "hookNetworks": ["10.20.0.0/16"],
        }
    }
    deployment = rendering.one(
        rendering.render(binaries, {**PROMETHEUS, **values}), "Deployment", "fairway-operator"
    )
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert "--hook-network=10.20.0.0/16" in container["args"]
    [given] = [
        argument.removeprefix("--counts=")
        for argument in container["args"]
        if argument.startswith("--counts=")
    ]
    assert counts.templates(given)["istio"].requests == query


def test_evidence_is_read_by_the_operator_alone_and_labels_are_a_role_of_their_own(binaries):
    found = rendering.render(binaries)
    rights = {
        name: {(resource, verb) for _, resource, verb in rendering.rules(found, f"fairway-{name}")}
        for name in ("collector", "evidence-reader", "labeller")
    }
    assert rights == {
        "collector": {("pods", "get")},
        "evidence-reader": {("modeldeployments/evidence", "get")},
        "labeller": {
            ("modeldeployments/labels", "create"),
            ("modeldeployments/outcomes", "create"),
        },
    }
    bound = {
        obj["roleRef"]["name"]: [subject["name"] for subject in obj["subjects"]]
        for obj in rendering.of_kind(found, "ClusterRoleBinding")
    }
    assert (
        bound["fairway-evidence-reader"],
        bound["fairway-collector"],
        "fairway-labeller" in bound,
    ) == (
        ["fairway-operator"],
        ["fairway-collector"],
        False,
    )


@pytest.mark.parametrize(("auth", "asks"), [("kubernetes", True), ("none", False)])
def test_the_collector_asks_the_api_server_only_where_it_tells_callers_apart(binaries, auth, asks):
    found = rendering.render(binaries, {"collector": {"auth": auth}})
    pod = rendering.one(found, "Deployment", "fairway-collector")["spec"]["template"]["spec"]
    assert (
        f"--auth={auth}" in pod["containers"][0]["args"],
        pod["automountServiceAccountToken"],
    ) == (True, asks)
    assert (
        "fairway-collector-reviews-fairway-system" in {obj["metadata"]["name"] for obj in found}
    ) is asks


def volumes(found, deployment):
    spec = rendering.one(found, "Deployment", deployment)["spec"]["template"]["spec"]
    return {volume.pop("name"): volume for volume in spec["volumes"]}


def test_with_certificates_nobody_has_a_token_and_nothing_is_sent_in_clear(binaries):
    found = rendering.render(
        binaries, {**VARIANTS["certificates"], "monitoring": {"serviceMonitors": True}}
    )
    for name, volume in (("collector", "certificates"), ("operator", "collector-certificates")):
        held = volumes(found, f"fairway-{name}")
        assert held[volume] == {"secret": {"secretName": f"fairway-{name}-tls"}}
        assert "serviceAccountToken" not in json.dumps(held)
    [operators] = rendering.one(found, "Deployment", "fairway-operator")["spec"]["template"][
        "spec"
    ]["containers"]
    assert {
        "name": "COLLECTOR_URL",
        "value": "https://fairway-collector.$(NAMESPACE).svc:8080",
    } in operators["env"]
    assert (
        '--server-certificates={"secret":{"secretName":"fairway-server-tls"}}' in operators["args"]
    )
    [collectors] = rendering.one(found, "Deployment", "fairway-collector")["spec"]["template"][
        "spec"
    ]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert collectors[probe]["httpGet"]["scheme"] == "HTTPS"
    [endpoint] = rendering.one(found, "ServiceMonitor", "fairway-collector")["spec"]["endpoints"]
    assert endpoint["tlsConfig"]["ca"] == {
        "secret": {"name": "fairway-collector-tls", "key": "ca.crt"}
    }
    [test] = rendering.one(found, "Pod", "fairway-test")["spec"]["containers"]
    assert test["args"][-1] == "https://fairway-collector:8080/healthz"
    assert "http://fairway-collector" not in json.dumps(found)


def test_certificates_are_made_for_the_names_that_they_are_checked_by(binaries):
    found = rendering.render(binaries, VARIANTS["certificates that are made"])
    made = {
        obj["spec"]["secretName"]: obj["spec"] for obj in rendering.of_kind(found, "Certificate")
    }
    assert made.keys() == {"fairway-collector-tls", "fairway-monitor-tls", "fairway-operator-tls"}
    assert made["fairway-monitor-tls"]["uris"] == [
        "spiffe://example.org/ns/fairway-system/sa/fairway-monitor"
    ]
    assert "fairway-collector.fairway-system.svc" in made["fairway-collector-tls"]["dnsNames"]
    assert made["fairway-operator-tls"]["uris"] == [
        "spiffe://example.org/ns/fairway-system/sa/fairway-operator"
    ]
    assert {spec["issuerRef"]["name"] for spec in made.values()} == {"mesh"}
    [collectors] = rendering.one(found, "Deployment", "fairway-collector")["spec"]["template"][
        "spec"
    ]["containers"]
    assert "--trust-domain=example.org" in collectors["args"]
    [operators] = rendering.one(found, "Deployment", "fairway-operator")["spec"]["template"][
        "spec"
    ]["containers"]
    assert (
        '--server-certificates={"csi":{"driver":"spiffe.csi.cert-manager.io","readOnly":true}}'
        in operators["args"]
    )


@pytest.mark.parametrize("of", ["collector", "operator"])
def test_a_volume_that_is_named_is_taken_and_none_is_made_for_it(binaries, of):
    source = {
        "projected": {"sources": [{"secret": {"name": "mine"}}, {"configMap": {"name": "bundle"}}]}
    }
    values = {"collector": {"identity": "mtls", "tls": {"issuer": {"name": "mesh"}, of: source}}}
    found = rendering.render(binaries, values)
    assert source in volumes(found, f"fairway-{of}").values()
    assert f"fairway-{of}" not in [
        obj["metadata"]["name"] for obj in rendering.of_kind(found, "Certificate")
    ]


def test_every_container_is_bounded_and_owns_nothing(rendered):
    for pod in rendering.pods(rendered):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert (
            set(container["resources"]["limits"])
            == set(container["resources"]["requests"])
            == {"cpu", "memory"}
        )
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert (
            container["workingDir"]
            == "/tmp"
            in {mount["mountPath"] for mount in container["volumeMounts"]}
        )


def test_every_deployment_is_probed(rendered):
    for deployment in rendering.of_kind(rendered, "Deployment"):
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def test_only_who_speaks_to_the_api_server_has_a_token(rendered):
    named = {
        pod["containers"][0]["name"]
        for pod in rendering.pods(rendered)
        if pod["automountServiceAccountToken"]
    }
    asked = (
        "--auth=kubernetes"
        in rendering.one(rendered, "Deployment", "fairway-collector")["spec"]["template"]["spec"][
            "containers"
        ][0]["args"]
    )
    assert named - {"canary"} == {
        "monitor",
        "operator",
        *(["collector"] if asked else []),
    }  # the canary's test asks the API server for a ModelDeployment


def test_selectors_of_one_part_do_not_match_the_other(rendered):
    labels = {
        obj["metadata"]["name"]: obj["spec"]["template"]["metadata"]["labels"]
        for obj in rendering.of_kind(rendered, "Deployment")
    }
    for obj in rendering.of_kind(
        rendered, "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"
    ):
        selector = obj["spec"].get("selector") or obj["spec"]["podSelector"]
        wanted = selector.get("matchLabels", selector).items()
        part = obj["metadata"]["name"]
        assert {name for name, has in labels.items() if wanted <= has.items()} == {
            name for name in labels if name == part or name.startswith(f"{part}-")
        }, part  # the monitor's are one for each shard


def test_options_reach_the_objects(binaries):
    found = rendering.render(binaries, VARIANTS["all on"])
    operator = rendering.one(found, "Deployment", "fairway-operator")["spec"]["template"]
    [container] = operator["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert container["image"] == "registry.example:5000/fairway/operator@sha256:" + "0" * 64
    assert environment["SERVER_IMAGE"] == "registry.example/fairway/server:1.2.3"
    assert operator["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert operator["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert {
        (obj["kind"], obj["metadata"]["name"])
        for obj in rendering.of_kind(found, "PodDisruptionBudget", "ServiceMonitor", "PodMonitor")
    } == {
        ("PodDisruptionBudget", "fairway-operator"),
        ("ServiceMonitor", "fairway-operator"),
        ("ServiceMonitor", "fairway-collector"),
        ("ServiceMonitor", "fairway-monitor"),
        ("PodMonitor", "fairway-gateway"),
    }
    assert {
        obj["metadata"]["labels"].get("release")
        for obj in rendering.of_kind(found, "ServiceMonitor", "PodMonitor")
    } == {"prometheus"}


@pytest.mark.parametrize(
    ("variant", "volume", "store"),
    [
        (
            "defaults",
            {"persistentVolumeClaim": {"claimName": "fairway-collector"}},
            {"value": "/data/events.db"},
        ),
        ("in memory", {"emptyDir": {"sizeLimit": "10Gi"}}, {"value": "/data/events.db"}),
        ("postgresql", None, {"valueFrom": {"secretKeyRef": {"name": "events", "key": "url"}}}),
    ],
    ids=["a volume", "the pod's own disk", "PostgreSQL"],
)
def test_the_store_is_one(binaries, variant, volume, store):
    found = rendering.render(binaries, VARIANTS[variant])
    pod = rendering.one(found, "Deployment", "fairway-collector")["spec"]["template"]["spec"]
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    assert volumes.get("data") == volume
    assert {"name": "FAIRWAY_STORE", **store} in pod["containers"][0]["env"]
    assert len(rendering.of_kind(found, "PersistentVolumeClaim")) == (variant == "defaults")


def test_a_claim_of_the_users_is_taken(binaries):
    found = rendering.render(binaries, {"collector": {"persistence": {"existingClaim": "mine"}}})
    pod = rendering.one(found, "Deployment", "fairway-collector")["spec"]["template"]["spec"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}} in pod["volumes"]
    assert not rendering.of_kind(found, "PersistentVolumeClaim")


def test_any_user_leaves_the_choice_to_the_cluster(binaries):
    for pod in rendering.pods(rendering.render(binaries, VARIANTS["any user"])):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["securityContext"].keys()


def test_rules_are_the_canonical_ones_and_name_the_runbooks_that_are_asked_for(binaries):
    found = rendering.of_kind(rendering.render(binaries, VARIANTS["all on"]), "PrometheusRule")
    assert {obj["metadata"]["labels"]["release"] for obj in found} == {"prometheus"}
    for obj in found:
        name = obj["metadata"]["name"].removeprefix("fairway-")
        text = (ROOT / "manifests" / "monitoring" / "rules" / f"{name}.yaml").read_text(
            encoding="utf-8"
        )
        assert text.count("/manifests/monitoring/runbooks/") == text.count("runbook_url") > 0
        for canonical, asked in WHERE.items():
            assert text.count(canonical) > 0
            text = text.replace(canonical, asked)
        assert obj["spec"] == yaml.safe_load(text)
    rules = (ROOT / "manifests" / "monitoring" / "rules").glob("*.yaml")
    assert {obj["metadata"]["name"] for obj in found} == {f"fairway-{file.stem}" for file in rules}


def test_the_values_say_how_many_alerts_and_dashboards_there_are():
    text = (ROOT / "helm" / "fairway" / "values.yaml").read_text(encoding="utf-8")
    dashboards = list((ROOT / "manifests" / "monitoring" / "dashboards").glob("*.json"))
    assert f"# PrometheusRules: {len(alerting.names(alerting.MONITORING))} alerts" in text
    assert len(dashboards) == 5
    assert "# ConfigMaps with five Grafana dashboards" in text


def test_routes_and_inhibitions_are_the_canonical_ones_with_the_receivers_that_are_asked_for(
    binaries,
):
    found = rendering.render(binaries, VARIANTS["all on"])
    spec = rendering.one(found, "AlertmanagerConfig", "fairway")["spec"]
    assert spec.pop("receivers") == [
        {"name": "fairway-ticket"},
        {"name": "fairway-page", "pagerdutyConfigs": [{"sendResolved": True}]},
        {"name": "fairway-retraining"},
    ]
    assert spec == yaml.safe_load(alerting.config_text(alerting.MONITORING))
    assert not rendering.of_kind(rendering.render(binaries), "AlertmanagerConfig")


def test_dashboards_are_the_canonical_ones_and_found_by_grafana(binaries):
    found = rendering.of_kind(rendering.render(binaries, VARIANTS["all on"]), "ConfigMap")
    assert {obj["metadata"]["labels"]["grafana_dashboard"] for obj in found} == {"1"}
    shown = {
        name.removeprefix("fairway-"): json.loads(text)
        for obj in found
        for name, text in obj["data"].items()
    }
    canonical = (ROOT / "manifests" / "monitoring" / "dashboards").iterdir()
    assert shown == {path.name: json.loads(path.read_text(encoding="utf-8")) for path in canonical}


def test_the_canary_may_touch_its_own_deployment_only_and_its_rights_go_with_it(binaries):
    found = rendering.render(
        binaries, {"tests": {"canary": {**rendering.CANARY, "namespace": "models"}}}
    )
    role = rendering.one(found, "Role", "fairway-canary")
    assert role["metadata"]["namespace"] == "models"
    assert {(resource, verb) for _, resource, verb in rendering.rules(found, "fairway-canary")} == {
        ("modeldeployments", verb) for verb in ("create", "get", "patch", "delete")
    }
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["fairway-trial"]]
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        annotations = rendering.one(found, kind, "fairway-canary")["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]


def test_the_canarys_arguments_are_the_commands_own(binaries):
    [container] = rendering.one(
        rendering.render(binaries, {"tests": {"canary": rendering.CANARY}}), "Pod", "fairway-canary"
    )["spec"]["containers"]
    options = {
        name: parameter.required for parameter in trial.trial.params for name in parameter.opts
    }
    given = dict(argument.split("=", 1) for argument in container["args"])
    assert container["command"] == ["fairway", "trial"]
    assert (
        {name for name, required in options.items() if required and name.startswith("--")}
        <= given.keys()
        <= options.keys()
    )
    assert json.loads(given["--pod-template"]) == rendering.CANARY["podTemplate"]
    assert given["--namespace"] == rendering.NAMESPACE


@pytest.mark.parametrize("variant", ["defaults", "certificates"])
@pytest.mark.parametrize(
    "command", [collector.collector, operator.operator], ids=["collector", "operator"]
)
def test_the_arguments_are_the_commands_own(binaries, command, variant):
    found = rendering.render(binaries, VARIANTS[variant])
    deployment = rendering.one(found, "Deployment", f"fairway-{command.name}")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    options = {name: parameter.required for parameter in command.params for name in parameter.opts}
    variables = {entry["name"] for entry in container["env"]}
    given = {argument.partition("=")[0] for argument in container["args"]}
    given |= {
        name
        for parameter in command.params
        if parameter.envvar in variables
        for name in parameter.opts
    }
    assert container["command"] == ["fairway", command.name]
    assert {name for name, required in options.items() if required} <= given <= options.keys()


def test_notes_say_what_to_do_next_and_name_the_licence(binaries):
    done = rendering.helm(binaries, "install", "fairway", "--dry-run=client", values=PROMETHEUS)
    assert "helm -n fairway-system test fairway" in done.stdout
    assert "kind: ModelDeployment" in done.stdout
    assert "Business Source License 1.1: production use needs a licence" in done.stdout
    assert "WARNING" not in done.stdout


def test_notes_warn_of_a_collector_that_forgets(binaries):
    done = rendering.helm(
        binaries,
        "install",
        "fairway",
        "--dry-run=client",
        values={**PROMETHEUS, **VARIANTS["in memory"]},
    )
    assert "WARNING: events live as long as the collector's pod" in done.stdout


def test_the_readme_is_what_the_values_say():
    done = subprocess.run(
        [sys.executable, ROOT / "helm" / "readme.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_schema_knows_every_value(binaries):
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    done = rendering.helm(binaries, "template", "fairway", values={**defaults, **PROMETHEUS})
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def namespace(cluster):
    """Return a namespace that holds its pods to the restricted standard."""
    name = f"test-chart-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl(
        "label",
        "namespace",
        name,
        "pod-security.kubernetes.io/enforce=restricted",
        "pod-security.kubernetes.io/warn=restricted",
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_an_api_server_takes_every_object(binaries, cluster, namespace, variant):
    values = {**variant, "namespaces": [namespace]} if "namespaces" in variant else variant
    cluster.kubectl(
        "--namespace", namespace, "create", "serviceaccount", "fairway-canary", check=False
    )  # a pod is admitted if its account is there
    served = cluster.kubectl("api-resources", "--output=name").stdout
    found = [
        obj
        for obj in rendering.render(binaries, values, namespace=namespace)
        if obj["apiVersion"].partition("/")[0] not in OTHERS
        or f".{obj['apiVersion'].partition('/')[0]}" in served
    ]
    done = cluster.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "--filename=-",
        input=yaml.safe_dump_all(found),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.fixture
def release(cluster, namespace):
    """Return the values of a release in one namespace, installed; its pods may never start, for the
    images may be nowhere."""
    values = {**PROMETHEUS, "rbac": {"namespaced": True}, "namespaces": [namespace]}
    cluster.helm(
        "install", "fairway", str(CHART), f"--namespace={namespace}", f"--set-json={_json(values)}"
    )
    yield values
    cluster.helm("uninstall", "fairway", f"--namespace={namespace}", "--ignore-not-found")


def _json(values):
    return ",".join(f"{name}={json.dumps(value)}" for name, value in values.items())


def test_the_operator_may_do_its_work_in_its_namespaces_only(cluster, namespace, release):
    def may(verb, resource, *options, where=namespace, user="fairway-operator"):
        who = f"--as=system:serviceaccount:{namespace}:{user}"
        return (
            cluster.kubectl(
                "auth", "can-i", verb, resource, f"--namespace={where}", who, *options, check=False
            ).stdout.strip()
            == "yes"
        )

    assert may("patch", "deployments.apps")
    assert may("create", "httproutes.gateway.networking.k8s.io")
    assert may("update", "modeldeployments.fairway.dev", "--subresource=status")
    assert may("update", "leases.coordination.k8s.io/fairway-operator")
    assert not may("update", "leases.coordination.k8s.io/another")
    assert not may("update", "modeldeployments.fairway.dev")
    assert not may("get", "secrets")
    assert not may("patch", "deployments.apps", where="default")
    assert not may("get", "modeldeployments.fairway.dev", user="fairway-collector")


def test_an_upgrade_changes_what_is_asked_and_an_uninstall_keeps_what_is_the_users(
    cluster, namespace, release
):
    values = {**release, "operator": {"replicas": 2}, "monitoring": {"interval": "1m"}}
    cluster.helm(
        "upgrade", "fairway", str(CHART), f"--namespace={namespace}", f"--set-json={_json(values)}"
    )
    found = cluster.kubectl(
        "--namespace",
        namespace,
        "get",
        "deployments,poddisruptionbudgets",
        "--output=jsonpath={.items[*].spec.replicas}",
    ).stdout
    assert found == "1 1 2"  # collector, monitor, operator
    cluster.helm("rollback", "fairway", "1", f"--namespace={namespace}")
    assert (
        cluster.kubectl(
            "--namespace", namespace, "get", "poddisruptionbudgets", "--output=name"
        ).stdout
        == ""
    )
    cluster.helm("uninstall", "fairway", f"--namespace={namespace}")
    kept = cluster.kubectl(
        "--namespace",
        namespace,
        "get",
        "deployments,services,roles,persistentvolumeclaims",
        "--output=name",
    ).stdout.split()
    assert kept == ["persistentvolumeclaim/fairway-collector"]
    assert cluster.kubectl("get", "crd", "modeldeployments.fairway.dev", "--output=name").stdout
    cluster.helm(
        "install", "fairway", str(CHART), f"--namespace={namespace}", f"--set-json={_json(release)}"
    )  # takes the volume up again


# -- with fairway at work --------------------------------------------------------------------------

STRATEGY = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 25, "minDuration": "1m"}, {"weight": 50}]},
    "bake": {"weight": 5, "duration": "2s"},
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}
SYSTEM = "--namespace=fairway-system"


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    return {
        name: store.put(world.package(folder / name, licence=licence))
        for name, licence in (("A", "MIT"), ("B", "Apache-2.0"))
    }


@pytest.fixture
def halfway(fairway, models):
    """Return the traffic to a deployment whose next revision has a quarter of the users; afterwards
    the release is as it was."""
    world.apply(fairway, world.resource("upgraded", models["A"], strategy=STRATEGY))
    world.until(fairway, "upgraded", world.digest_in_service(models["A"]))
    try:
        with world.traffic(fairway, "upgraded") as traffic:
            world.apply(fairway, world.resource("upgraded", models["B"], strategy=STRATEGY))
            world.until(
                fairway,
                "upgraded",
                lambda now: (now.get("phase"), now.get("weight")) == ("Canary", 25),
            )
            yield traffic
    finally:
        stack.install_fairway(fairway)
        fairway.kubectl("--namespace=models", "delete", "md", "upgraded", "--ignore-not-found")


def arms(cluster):
    now = world.status(cluster, "upgraded")
    return [now.get(arm, {}).get("revision") for arm in ("stable", "candidate")]


def upgrade(cluster, *options):
    """Upgrade the release; a number of replicas that somebody has set by `kubectl scale` is the
    chart's again."""
    cluster.helm(
        "upgrade",
        "fairway",
        str(CHART),
        SYSTEM,
        "--reuse-values",
        "--force-conflicts",
        *options,
        "--wait",
        "--timeout=3m",
    )


@pytest.mark.timeout(600)
def test_an_upgrade_and_its_rollback_in_mid_rollout_leave_the_rollout_alone(
    fairway, models, halfway
):
    before = arms(fairway)
    release = json.loads(fairway.helm("history", "fairway", SYSTEM, "--output=json").stdout)[-1][
        "revision"
    ]
    upgrade(fairway, "--set=operator.replicas=2,server.image.tag=another,podAnnotations.note=new")
    assert arms(fairway) == before
    fairway.helm("rollback", "fairway", str(release), SYSTEM, "--wait", "--timeout=3m")
    assert arms(fairway) == before
    ended = world.until(fairway, "upgraded", world.digest_in_service(models["B"]), seconds=240)
    assert ended["stable"]["revision"] == before[1]
    assert halfway.failed == 0, (halfway.counts, halfway.broken[:3])


@pytest.mark.timeout(600)
def test_an_uninstall_in_mid_rollout_keeps_what_serves_and_an_install_goes_on_with_it(
    fairway, models, halfway
):
    before = arms(fairway)
    fairway.helm("uninstall", "fairway", SYSTEM, "--wait", "--timeout=3m")
    assert fairway.kubectl("get", "crd", "modeldeployments.fairway.dev", "--output=name").stdout
    assert arms(fairway) == before
    served = halfway.counts.total()
    deadline = time.monotonic() + 60
    while halfway.counts.total() < served + 200:
        assert time.monotonic() < deadline, "nothing is served without the operator"
        time.sleep(0.1)
    stack.install_fairway(fairway)
    world.until(fairway, "upgraded", world.digest_in_service(models["B"]), seconds=240)
    assert halfway.failed == 0, (halfway.counts, halfway.broken[:3])


@pytest.fixture
def canary(fairway, models):
    """Return what makes `helm test` run a canary on this cluster; afterwards the release is as it
    was."""
    services = (
        "get",
        "services",
        "--selector=gateway.envoyproxy.io/owning-gateway-name=models",
        "--output=jsonpath={.items[0].metadata.name}",
    )
    service = fairway.kubectl("--namespace=envoy-gateway-system", *services).stdout
    yield {
        "gateway": "models",
        "url": f"http://{service}.envoy-gateway-system.svc",
        "model": models["A"],
        "namespace": "models",
    }
    stack.install_fairway(fairway)


def helm_test(cluster, canary):
    upgrade(cluster, f"--set-json=tests.canary={json.dumps(canary)}")
    done = cluster.helm("test", "fairway", SYSTEM, "--timeout=5m", check=False)
    said = cluster.kubectl(SYSTEM, "logs", "fairway-canary").stdout
    return done.returncode, said


def left(cluster):
    rights = cluster.kubectl(
        "get",
        "serviceaccounts,roles,rolebindings",
        "--all-namespaces",
        "--selector=app.kubernetes.io/component=canary",
        "--output=name",
    )
    deployments = cluster.kubectl(
        "--namespace=models", "get", "md", "--selector=fairway.dev/trial", "--output=name"
    )
    return (rights.stdout + deployments.stdout).split()


@pytest.mark.timeout(600)
def test_helm_test_promotes_a_revision_without_a_failed_request_and_leaves_nothing(fairway, canary):
    status, said = helm_test(fairway, canary)
    assert status == 0, said
    assert "was promoted: every guard of the canary holds" in said
    assert said.splitlines()[-1].endswith("requests, none failed")
    assert left(fairway) == []


@pytest.mark.lengthy
@pytest.mark.timeout(600)
def test_a_canary_that_cannot_be_fails_with_a_sentence_and_leaves_nothing(fairway, canary, models):
    status, said = helm_test(
        fairway, {**canary, "model": {**models["A"], "digest": models["B"]["digest"]}}
    )
    assert status != 0
    assert "another package was put in its place" in said
    assert left(fairway) == []
