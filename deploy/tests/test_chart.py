"""The Helm chart: what it renders for many sets of values, against Kubernetes' own schemas and against the service.

bash .ci/run chart runs these tests; they need helm (from PATH, or what .ci/run puts into target/helm).
"""

import json
import re
import subprocess
import sys

import pytest
import yaml
from conftest import CHART, ROOT, helm

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# Kinds of the Prometheus operator, which Kubernetes' schemas do not have.
OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}
EVERYTHING = {
    "autoscaling": {"enabled": True},
    "grants": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True},
}
VALUE_SETS = {
    "defaults": {},
    "everything": EVERYTHING,
    "nothing optional": {
        "migration": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpreadConstraints": [],
    },
    "twilio and seon": {
        "settings": {
            "SMS_PROVIDERS": "twilio",
            "TWILIO_ACCOUNT_SID": "AC" + 32 * "0",
            "TWILIO_FROM": "Bank",
            "REQUEST_BODY_LIMIT_BYTES": 16777216,
            "APPROVALS_REQUIRE_RESTRICTED_KEYS": True,
        },
        "secrets": {
            "keys": {
                "SMS_WEBHOOK_URL": None,
                "SMS_WEBHOOK_TOKEN": None,
                "TWILIO_AUTH_TOKEN": "twilio",
                "SEON_API_KEY": "seon",
                "OTP_SECRET_PREVIOUS": None,
            }
        },
    },
    "a rotation of secrets": {
        "secrets": {"keys": {"OTP_SECRET_PREVIOUS": "otp-old", "TOKEN_SECRET_PREVIOUS": "token-old"}},
        "settings": {"OTP_SECRET_VERSION": 2},
    },
    "an image by digest": {"image": {"repository": "registry.example/dm", "digest": "sha256:" + 64 * "a"}},
    "names": {"fullnameOverride": "test-device-management", "nameOverride": "dm"},
    "placement": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "bank", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "payments"},
        "podAnnotations": {"note": "1"},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"annotations": {"iam": "role"}},
        "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"lb": "internal"}},
    },
    "a certificate authority": {
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
        "grants": {"enabled": True},
    },
    "closed network": {
        "networkPolicy": {
            "apiFrom": [{"namespaceSelector": {"matchLabels": {"name": "gateway"}}}],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "database": {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "port": 6432},
            "https": {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "port": 8443},
        }
    },
}

every_value_set = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


@every_value_set
def test_kubernetes_accepts_every_object(render, values, tmp_path):
    for number, found in enumerate(render(**values).objects):
        if found["kind"] in OPERATOR_KINDS:
            continue
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(found))
    files = sorted(tmp_path.iterdir())
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--quiet", *files]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert files and checked.returncode == 0, checked.stdout + checked.stderr


def test_a_misspelt_field_is_found(tmp_path):
    """The validation above can fail."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"image_": "a"}]}}
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(pod))
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--quiet", file]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_helm_lint_has_no_warning():
    found = helm("lint", "--strict", CHART, "--set", "secrets.existingSecret=bank-secrets")
    assert found.returncode == 0, found.stdout
    assert "[WARNING]" not in found.stdout


@every_value_set
def test_every_pod_is_unprivileged_and_read_only(render, values):
    for name, template in render(**values).pods().items():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


@every_value_set
def test_no_secret_is_in_an_object(render, values):
    release = render(**values)
    assert release.all("Secret") == []
    secret = set(SCHEMA["properties"]["secrets"]["properties"]["keys"]["properties"])
    assert not secret & set(release.one("ConfigMap")["data"])
    for template in release.pods().values():
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                assert variable["name"] not in secret, "a secret is a file, not a variable"


def settings_of_the_service():
    """Public and secret settings in config.example.toml, which a test of the service compares with its own."""
    found = re.findall(
        r"^# ([A-Z][A-Z0-9_]+)( \(secret\))?: ", (ROOT / "config.example.toml").read_text(), re.MULTILINE
    )
    return {name for name, secret in found if not secret}, {name for name, secret in found if secret}


def test_the_schema_knows_exactly_the_settings_of_the_service():
    public, secret = settings_of_the_service()
    dockerfile = (ROOT / "Dockerfile").read_text()
    by_image = set(re.findall(r"\b([A-Z_]+)=\S+", dockerfile[dockerfile.index("ENV MODE") : dockerfile.index("USER")]))
    sandbox = {name for name in public if name.startswith("SANDBOX_")}
    assert by_image == {"MODE", "HTTP_ADDR", "METRICS_ADDR", "LOG_FORMAT"}
    by_chart = set(SCHEMA["properties"]["settings"]["properties"])
    assert by_chart == public - by_image - sandbox - {"MIGRATE_ON_START", "SQLITE_SYNCHRONOUS"}
    assert set(SCHEMA["properties"]["secrets"]["properties"]["keys"]["properties"]) == secret


@every_value_set
def test_every_variable_is_a_setting_of_the_service(render, values):
    public, secret = settings_of_the_service()
    release = render(**values)
    assert set(release.one("ConfigMap")["data"]) <= public
    for name, template in release.pods().items():
        for container in template["spec"]["containers"]:
            names = {variable["name"] for variable in container.get("env", [])}
            assert names <= public | {f"{setting}_FILE" for setting in secret}, name


@every_value_set
def test_every_secret_file_is_mounted_where_its_variable_says(render, values):
    for name, template in render(**values).pods().items():
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            files = {
                f"{mount['mountPath']}/{item['path']}"
                for mount in container["volumeMounts"]
                for item in volumes[mount["name"]].get("secret", {}).get("items", [])
            }
            named = {v["value"] for v in container.get("env", []) if v["name"].endswith("_FILE")}
            assert named <= files, name
            assert not any(file.endswith(("/", "/None")) for file in files | named), "a key that is null is left out"


def test_ports_and_paths_are_those_of_the_service(render):
    release = render()
    (container,) = release.one("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"HTTP_ADDR=\S+:(\d+)", dockerfile)[1] == str(ports["http"])
    assert re.search(r"METRICS_ADDR=\S+:(\d+)", dockerfile)[1] == str(ports["metrics"])

    api = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert all(probe["port"] == "http" and probe["path"] in api["paths"] for probe in probes.values())
    assert probes["liveness"]["path"] == "/healthz", "a restart does not repair the database"
    assert probes["readiness"]["path"] == "/readyz"

    for service in release.all("Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
    metrics = release.one("Service", "-metrics")["spec"]["ports"]
    assert [port["port"] for port in metrics] == [ports["metrics"]]


def test_the_services_select_the_pods_of_the_deployment(render):
    release = render(podLabels={"team": "payments"})
    deployment = release.one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [service["spec"]["selector"] for service in release.all("Service")]
    selectors += [deployment["selector"]["matchLabels"]]
    selectors += [release.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    selectors += [constraint["labelSelector"]["matchLabels"] for constraint in spread]
    selectors += [release.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    for selector in selectors:
        assert selector.items() <= labels.items()
    job = release.one("Job", "-migrate")["spec"]["template"]["metadata"]["labels"]
    for selector in selectors:
        assert not selector.items() <= job.items(), "a request must not reach the Job"


def test_the_network_policy_allows_what_the_service_needs_and_no_more(render):
    release = render(**VALUE_SETS["closed network"])
    api = release.one("NetworkPolicy")["spec"]
    assert api["policyTypes"] == ["Ingress", "Egress"]
    assert [(rule["ports"][0]["port"], len(rule["from"])) for rule in api["ingress"]] == [("http", 1), ("metrics", 1)]
    out = [sorted({port["port"] for port in rule["ports"]}) for rule in api["egress"]]
    assert out == [[53], [6432], [8443]]
    assert all(rule["to"] for rule in api["egress"])

    migration = release.one("NetworkPolicy", "-migration")["spec"]
    assert migration["egress"] == api["egress"][:2]
    bypass = {"networkPolicy": {"database": {"port": 6432}, "migrationDatabase": {"port": 5432}}}
    policies = [render(**bypass).one("NetworkPolicy", suffix)["spec"]["egress"] for suffix in ("", "-migration")]
    assert [policy[1]["ports"][0]["port"] for policy in policies] == [6432, 5432], "migrations bypass the pooler"
    assert "ingress" not in migration, "nothing connects to the Job"
    assert [sorted({port["port"] for port in rule["ports"]}) for rule in migration["egress"]] == [[53], [6432]]


ENDPOINT, TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ({ENDPOINT: "http://collector:4318"}, 4318),
        ({ENDPOINT: "https://collector/base"}, 443),
        ({ENDPOINT: "http://collector"}, 80),
        ({ENDPOINT: "http://[fd00::1]:4319/base"}, 4319),
        ({ENDPOINT: "http://a:1", TRACES_ENDPOINT: "https://b:8443/v1/traces"}, 8443),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "false"}, 4318),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": True}, None),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({}, None),
    ],
)
def test_the_collector_is_reached_on_the_port_of_its_endpoint_and_only_if_traces_are_on(render, settings, port):
    def rules(**values):
        return render(settings=settings, **values).one("NetworkPolicy")["spec"]["egress"][3:]

    pods = [{"namespaceSelector": {}}]
    expected = [{"ports": [{"protocol": "TCP", "port": port}], "to": pods}] if port else []
    assert rules() == expected
    peers = [{"namespaceSelector": {"matchLabels": {"team": "observability"}}}]
    chosen = [{"ports": [{"protocol": "TCP", "port": 5}], "to": peers}] if port else []
    assert rules(networkPolicy={"collector": {"to": peers, "port": 5}}) == chosen


def test_by_default_only_public_addresses_are_reached_over_https(render):
    (https,) = [rule for rule in render().one("NetworkPolicy")["spec"]["egress"] if rule["ports"][0]["port"] == 443]
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in https["to"]}
    assert "169.254.0.0/16" in blocks["0.0.0.0/0"], "the metadata service of a cloud"
    assert "fc00::/7" in blocks["::/0"]


def test_a_migration_runs_before_the_pods_of_an_installation_and_an_upgrade(render):
    job = render(settings={"SMS_PROVIDERS": "webhook", "SMS_SENDER_NAME": "Bank: one"}).one("Job", "-migrate")
    hooks = job["metadata"]["annotations"]
    assert hooks["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert hooks["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["DATABASE_URL_FILE"] == "/run/secrets/owner/database-owner-url"
    assert variables["SMS_SENDER_NAME"] == "Bank: one"
    assert "envFrom" not in container, "the ConfigMap does not exist before the installation"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default", "nor does the ServiceAccount"


def test_the_service_never_migrates(render):
    assert render().one("ConfigMap")["data"]["MIGRATE_ON_START"] == "false"


def test_the_grants_run_after_the_migration(render):
    release = render(grants={"enabled": True}, migration={"existingSecret": "owner-secret"})
    weights = {
        found["metadata"]["name"].removeprefix("test-device-management-"): int(
            found["metadata"]["annotations"]["helm.sh/hook-weight"]
        )
        for found in release.objects
        if "helm.sh/hook" in found["metadata"].get("annotations", {}) and found["kind"] == "Job"
    }
    assert weights["migrate"] < weights["grants"]
    for job in release.all("Job"):
        (owner,) = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "owner"]
        assert owner["secret"]["secretName"] == "owner-secret"
    assert release.one("ConfigMap", "-grants")["data"]["grants.sql"].strip() == (
        (ROOT / "docker/grants.sql").read_text().strip()
    )


def test_a_changed_setting_starts_new_pods(render):
    def checksum(**settings):
        template = render(settings=settings).one("Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/settings"]

    assert checksum() == checksum()
    assert checksum() != checksum(SMS_LANGUAGE="fr")


def test_the_grace_period_is_longer_than_the_shutdown(render):
    def seconds(**settings):
        return render(settings=settings).one("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert seconds() == 35
    assert seconds(SHUTDOWN_DELAY_SECONDS=20, SHUTDOWN_DEADLINE_SECONDS=60) == 85


def test_numbers_are_written_without_an_exponent(render):
    assert (
        render(settings={"REQUEST_BODY_LIMIT_BYTES": 16777216}).one("ConfigMap")["data"]["REQUEST_BODY_LIMIT_BYTES"]
        == "16777216"
    )


def test_autoscaling_takes_the_number_of_replicas_over(render):
    assert render().one("Deployment")["spec"]["replicas"] == 3
    release = render(autoscaling={"enabled": True})
    assert "replicas" not in release.one("Deployment")["spec"]
    target = release.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == release.one("Deployment")["metadata"]["name"]


def test_an_image_by_digest_has_no_tag(render):
    template = render(**VALUE_SETS["an image by digest"]).one("Deployment")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "registry.example/dm@sha256:" + 64 * "a"


def test_monitoring_has_the_rules_the_dashboard_and_the_job_label(render):
    release = render(**EVERYTHING | {"prometheusRule": {"enabled": True, "runbook": "https://wiki.example/operations"}})
    rules = release.one("PrometheusRule")["spec"]
    own = yaml.safe_load((CHART / "files/rules.yaml").read_text())
    assert [r["expr"] for r in rules["groups"][0]["rules"]] == [r["expr"] for r in own["groups"][0]["rules"]]
    for rule in rules["groups"][0]["rules"]:
        assert rule["annotations"]["runbook_url"].startswith("https://wiki.example/operations#")
    dashboard = release.one("ConfigMap", "-dashboard")["data"]["device-management.json"]
    assert json.loads(dashboard) == json.loads((CHART / "files/dashboard.json").read_text())
    (endpoint,) = release.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "device-management"}]
    assert endpoint["port"] in [port["name"] for port in release.one("Service", "-metrics")["spec"]["ports"]]


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"secret": None}, "secrets.existingSecret"),
        ({"settings": {"OTP_SECRET": "in values"}}, "OTP_SECRET"),
        ({"settings": {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b"}}, "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        ({"networkPolicy": {"collector": {"to": []}}}, "collector"),
        ({"settings": {"MODE": "sandbox"}}, "MODE"),
        ({"settings": {"SMS_PROVIDER": "webhook"}}, "SMS_PROVIDER"),
        ({"secrets": {"keys": {"OTP_SECRETS": "a"}}}, "OTP_SECRETS"),
        ({"secrets": {"otpSecret": "in values"}}, "otpSecret"),
        ({"replicaCount": 0}, "replicaCount"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"networkPolicies": {}}, "networkPolicies"),
    ],
    ids=lambda found: found if isinstance(found, str) else "",
)
def test_a_wrong_value_is_refused_by_its_name(refuse, values, complaint):
    assert complaint in refuse(**values)


def leaves(values, path=""):
    """The paths of the values that README.md lists. A list and an open map count as one value."""
    for name, value in values.items():
        here = f"{path}{name}"
        is_open = here in ("settings", "secrets.keys") or here.endswith(("resources", "labels", "dns.to"))
        if isinstance(value, dict) and value and not is_open:
            yield from leaves(value, f"{here}.")
        else:
            yield here


def test_the_readme_lists_every_value():
    readme = (CHART / "README.md").read_text()
    listed = re.findall(r"^\| `([A-Za-z.]+)` \|", readme, re.MULTILINE)
    assert sorted(listed) == sorted(leaves(VALUES))
