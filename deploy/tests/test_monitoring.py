"""The dashboard and the alerting rules of the chart: accepted by Prometheus, complete, and linked to the documentation.

bash .ci/run chart runs these tests; they need promtool (apt-get install prometheus).
"""

import json
import pathlib
import re
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy/helm/device-management/files"
RULES = FILES / "rules.yaml"
DASHBOARD = json.loads((FILES / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
RUNBOOK = "docs/operations.md"
OPERATIONS = (ROOT / RUNBOOK).read_text()

# The metrics that the service exposes; tests in tests/it compare this table with `/metrics` and with operations.md.
KINDS = {
    name: kind
    for kind, name in re.findall(
        r'\b(counter|gauge|histogram)\(\s*"([a-z_]+)"', (ROOT / "src/telemetry/metric_table.rs").read_text()
    )
}


def targets():
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


def metrics(expression):
    """The names of the metrics in an expression. Each has a selector; Prometheus itself makes `up`."""
    return {name.removesuffix("_bucket") for name in re.findall(r"\b([a-z_]+)\{", expression)} - {"up"}


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True)


def test_prometheus_accepts_the_rules():
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr


def test_each_alert_fires_and_is_resolved():
    tests = ROOT / "deploy/tests/alerts.yaml"
    ran = promtool("test", "rules", tests)
    assert ran.returncode == 0, ran.stdout + ran.stderr

    fired, resolved = set(), set()
    for test in yaml.safe_load(tests.read_text())["tests"]:
        steps = test["alert_rule_test"]
        fired |= {step["alertname"] for step in steps if step.get("exp_alerts")}
        if not steps[-1].get("exp_alerts"):
            resolved.add(steps[-1]["alertname"])
    assert fired == resolved == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_urgent_it_is_and_where_its_section_is(alert):
    name = alert["alert"]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}"
    assert f"\n### {name}\n" in OPERATIONS, "operations.md has no section for this alert"


def test_the_documentation_names_no_other_alert():
    described = re.findall(r"^### (DeviceManagement\w+)$", OPERATIONS, re.MULTILINE)
    assert sorted(described) == sorted(alert["alert"] for alert in ALERTS)


def test_rules_and_dashboard_use_metrics_of_the_service_only():
    for place, expression in targets() + [(alert["alert"], alert["expr"]) for alert in ALERTS]:
        unknown = metrics(expression) - KINDS.keys()
        assert not unknown, f"{place} uses {unknown}"


def test_the_dashboard_shows_every_metric():
    shown = set().union(*(metrics(expression) for _, expression in targets()))
    assert shown == KINDS.keys()


@pytest.mark.parametrize("title, expression", targets())
def test_a_target_suits_the_kind_of_its_metric(title, expression):
    for name in metrics(expression):
        rated = re.search(rf"(rate|increase)\({name}(_bucket)?\{{[^}}]*\}}\[\$__rate_interval\]\)", expression)
        assert bool(rated) == (KINDS[name] != "gauge"), f"{title}: {name} is a {KINDS[name]}"
        assert (f"{name}_bucket{{" in expression) == (KINDS[name] == "histogram")
    for selector in re.findall(r"\{([^}]*)\}", re.sub(r"\{\{.*?\}\}", "", expression)):
        assert 'job=~"$job"' in selector and 'instance=~"$instance"' in selector, f"{title}: {selector}"


def test_prometheus_accepts_the_expressions_of_the_dashboard(tmp_path):
    expressions = [expression.replace("$__rate_interval", "5m") for _, expression in targets()]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_title_description_unit_and_the_chosen_data_source(panel):
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
        assert source == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["legendFormat"] for target in panel["targets"])


def test_the_dashboard_can_be_provisioned():
    assert DASHBOARD["uid"] == "device-management", "links and provisioning rely on it"
    assert not DASHBOARD["editable"]
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, f"{panel['title']} is wider than the dashboard"
