"""What is made for Prometheus, Alertmanager and Grafana, checked by their own tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from msgspec.structs import replace

from tidegate.alerts.machine import Terms
from tidegate.alerts.mail import Mailbox
from tidegate.alerts.rules import DEFAULTS, Rule
from tidegate.alerts.settings import AlertSettings, Receiver
from tidegate.cli import main
from tidegate.control.generated.alertmanager import HUSHES, routes
from tidegate.control.generated.grafana import DASHBOARDS, dashboard
from tidegate.control.generated.prometheus import GONE, RULES, alert_name, expression, rules
from tidegate.control.generated.promql import EXPRESSIONS, recorded, span
from tidegate.control.metrics import documented

NAME = re.compile(r"\b(?:alias_slo:)?(?:tidegate|gen_ai)[a-z0-9_]*(?::[a-z0-9_]+)*")
PART = re.compile("_(?:bucket|sum|count)$")
SHOWN = {each.name: each for found in documented().values() for each in found}
LABELS = {label for each in SHOWN.values() for label in each.labels}
TWINS = [rule for rule in DEFAULTS.values() if callable(EXPRESSIONS[rule.name])]
SWITCHES = {"redis-lost", "records-not-loaded", "store-lost"}
"""What is 0 or 1 has no threshold to be tuned."""


def tool(name: str, *words: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"NOT TESTED: there is no {name} on the PATH")
    done = subprocess.run(
        [program, *words], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_names(expr: str) -> None:
    for name in NAME.findall(expr):
        if name in recorded() or name in LABELS:
            continue
        known = SHOWN.get(name) or SHOWN.get(PART.sub("", name))
        assert known is not None, name
        if name != known.name:
            assert known.kind == "histogram", name


def test_every_rule_has_a_twin_or_a_reason() -> None:
    assert EXPRESSIONS.keys() == DEFAULTS.keys()
    made = yaml.safe_load(rules(DEFAULTS.values(), Terms()))
    alerts = {each["alert"]: each for each in made["groups"][1]["rules"]}
    assert alerts.keys() == {alert_name(rule.name) for rule in [*TWINS, GONE]}
    text = rules(DEFAULTS.values(), Terms())
    for rule in DEFAULTS.values():
        if rule in TWINS:
            continue
        assert f"# Not here: {rule.name}: " in text


@pytest.mark.parametrize("rule", TWINS, ids=lambda rule: rule.name)
def test_a_twin_is_as_its_rule_is_tuned(rule: Rule) -> None:
    tuned = replace(
        rule, threshold=0.0625, steps=(0.0625, 1.0), severity="info", for_s=90.0, least=7777.0
    )
    made = yaml.safe_load(rules([tuned], Terms(runbooks="https://wiki/")))
    alert = made["groups"][1]["rules"][0]
    check_names(alert["expr"])
    assert alert["labels"] == {"severity": "info"}
    assert alert["for"] == "90s"
    assert alert["annotations"]["runbook_url"] == f"https://wiki/{rule.name}.md"
    assert alert["annotations"]["description"] == rule.todo
    if rule.name == "records-waiting":
        assert alert["expr"].endswith("> 0")
    elif rule.name not in SWITCHES:
        assert "0.0625" in alert["expr"]
    if rule.least:
        assert "7777" in alert["expr"]


def test_what_is_recorded_is_shown_by_somebody() -> None:
    for expr in recorded().values():
        check_names(expr)


def test_durations_are_written_as_prometheus_reads_them() -> None:
    written = [span(each) for each in (300.0, 3_600.0, 259_200.0, 90.0, 0.5)]
    assert written == ["5m", "1h", "3d", "90s", "500ms"]


OK, FAILED = (
    f'tidegate_requests_ended_total{{alias="fast",class="{c}"}}' for c in ("ok", "failed")
)


def waits(le: str) -> str:
    return f'tidegate_time_to_content_seconds_bucket{{alias="fast",le="{le}"}}'


WAITED = 'tidegate_time_to_content_seconds_count{alias="fast"}'


def slo(what: str) -> str:
    return f'tidegate_slo_{what}{{alias="fast",slo="latency"}}'


def found(kind: str) -> str:
    return f'tidegate_personal_data_findings_total{{alias="fast",kind="{kind}"}}'


def promised(bad: int) -> dict[str, str]:
    return {
        slo("objective_ratio"): "0.99+0x400",
        slo("requests_total"): "0+100x400",
        slo("bad_total"): f"0+{bad}x400",
    }


PLAYED: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("errors", {OK: "0+90x400", FAILED: "0+10x400"}, {OK: "0+991x400", FAILED: "0+9x400"}),
    ("errors", {OK: "0x400", FAILED: "0+1x400"}, {OK: "0x400", FAILED: "0+0x400"}),
    (
        "latency-p99",
        {waits("30.0"): "0+8x400", waits("60.0"): "0+10x400", waits("+Inf"): "0+10x400",
         WAITED: "0+10x400"},
        {waits("30.0"): "0+10x400", waits("60.0"): "0+10x400", waits("+Inf"): "0+10x400",
         WAITED: "0+10x400"},
    ),
    ("throughput-drop", {OK: "0+100x85 8500x300"}, {OK: "0+100x400"}),
    ("breaker-open", {'tidegate_breaker_state{target="p/m",worker="gw-0"}': "2x400"},
     {'tidegate_breaker_state{target="p/m",worker="gw-0"}': "1x400"}),
    ("store-lost", {"tidegate_store_up": "0x400"}, {"tidegate_store_up": "1x400"}),
    ("records-not-loaded", {"tidegate_records_loading": "0x400", "tidegate_store_up": "1x400"},
     {"tidegate_records_loading": "0x400", "tidegate_store_up": "0x400"}),
    ("gateways-missing",
     {"tidegate_gateway_processes": "1x400", "tidegate_gateway_processes_wanted": "2x400"},
     {"tidegate_gateway_processes": "2x400", "tidegate_gateway_processes_wanted": "2x400"}),
    ("price-missing", {'tidegate_unpriced_total{alias="fast"}': "_x92 1x300"},
     {'tidegate_unpriced_total{alias="fast"}': "5x400"}),
    ("slo-fast-burn", promised(15), promised(14)),
    ("slo-burn", promised(7), promised(6)),
    ("disk-filling", {'tidegate_disk_free_ratio{disk="spool"}': "0.09x400"},
     {'tidegate_disk_free_ratio{disk="spool"}': "0.11x400"}),
    ("budget", {'tidegate_limit_used_ratio{scope_kind="team",limit="usd_per_month"}': "0.8x400"},
     {'tidegate_limit_used_ratio{scope_kind="team",limit="usd_per_month"}': "0.79x400"}),
    ("model-retires", {'tidegate_model_retires_timestamp_seconds{model="m"}': "7776000x400"},
     {'tidegate_model_retires_timestamp_seconds{model="m"}': "7789000x400"}),
    ("personal-data", {OK: "0+20x400", found("email"): "0+2x88 200+30x300"},
     {OK: "0+20x400", found("email"): "0+2x400"}),
    ("personal-data", {OK: "0+20x400", found("email"): "_x89 10+10x300"},
     {OK: "0+20x400", found("password"): "_x89 10+10x300"}),
    ("leaked-credentials", {OK: "0+20x400", found("api_key"): "0x88 0+1x300"},
     {OK: "0+20x400", found("api_key"): "0+1x400"}),
    ("control-gone", {"up": "1x400"}, {"tidegate_records_loading": "1x400"}),
]  # fmt: skip
"""By rule: series with which it fires after 95 minutes, and with which it does not."""


def played(name: str, series: Mapping[str, str], *, fires: bool) -> dict[str, Any]:
    firing = f'ALERTS{{alertname="{alert_name(name)}",alertstate="firing"}}'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": f"count({firing})", "eval_time": "95m", "exp_samples": samples}
        ],
    }


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / RULES).write_text(rules(DEFAULTS.values(), Terms()))
    said = tool("promtool", "check", "rules", str(tmp_path / RULES))
    assert f"{len(TWINS) + 1 + len(recorded())} rules found" in said


@pytest.mark.parametrize(("name", "bad", "good"), PLAYED)
def test_a_rule_fires_in_prometheus_as_it_should(
    name: str, bad: dict[str, str], good: dict[str, str], tmp_path: Path
) -> None:
    mine = [rule for rule in DEFAULTS.values() if rule.name == name]
    text = rules(mine, Terms()).replace("interval: 15s", "interval: 1m")
    (tmp_path / RULES).write_text(text)
    tests = {
        "rule_files": [RULES],
        "evaluation_interval": "1m",
        "tests": [played(name, bad, fires=True), played(name, good, fires=False)],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    tool("promtool", "test", "rules", str(tmp_path / "tests.yaml"))


SINKS = {
    "chat": Receiver("slack", "https://hooks.slack.example/secret-word"),
    "hook": Receiver("webhook", "https://pager.example/secret-word", secret="secret-word"),
    "there": Receiver("alertmanager", "http://alerts.example/api/v2/alerts"),
    "post": Mailbox("mail.example", 587, "us@example.com", ("on-call@example.com",),
                    user="secret-word", password="secret-word"),
}  # fmt: skip


@pytest.mark.parametrize("sinks", [{}, SINKS], ids=["nobody", "all"])
def test_alertmanager_takes_its_configuration(
    tmp_path: Path, sinks: dict[str, Receiver | Mailbox]
) -> None:
    text = routes(AlertSettings(sinks=sinks))
    assert "secret-word" not in text
    (tmp_path / "alertmanager.yaml").write_text(text)
    tool("amtool", "check-config", str(tmp_path / "alertmanager.yaml"))
    names = [each["name"] for each in yaml.safe_load(text)["receivers"]]
    assert names == (["chat", "post"] if sinks else ["nobody"])
    if sinks:
        assert "# Not here, told by Tidegate alone: hook." in text


def test_only_alerts_that_there_are_hush_others() -> None:
    named = {rule for sources, hushed, _ in HUSHES for rule in (*sources, *hushed)}
    assert named <= DEFAULTS.keys()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_of_a_dashboard_is_one_that_prometheus_answers(
    name: str, tmp_path: Path
) -> None:
    queries = [target["expr"] for panel in dashboard(name)["panels"] for target in panel["targets"]]
    assert queries
    for query in queries:
        check_names(query)
    filled = [each.replace("$__rate_interval", "5m").replace("$alias", ".*") for each in queries]
    group = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(filled)]
    group = [{**each, "record": f"panel:q{number}"} for number, each in enumerate(group)]
    text = yaml.safe_dump({"groups": [{"name": name, "rules": group}]})
    (tmp_path / "panels.yaml").write_text(text)
    tool("promtool", "check", "rules", str(tmp_path / "panels.yaml"))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_the_structure_that_grafana_wants(name: str) -> None:
    made = json.loads(json.dumps(dashboard(name)))
    assert (made["uid"], made["schemaVersion"] >= 36) == (f"tidegate-{name}", True)
    panels = made["panels"]
    assert [each["id"] for each in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    variables = {each["name"] for each in made["templating"]["list"]}
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [each["refId"] for each in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        for target in panel["targets"]:
            used = set(re.findall(r"\$\{?([a-z]\w*)", target["expr"]))
            assert used <= variables, target["expr"]
            labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert all(label in target["expr"] for label in labels - {"alias", "slo"}), target


@pytest.mark.parametrize("kind", ["grafana", "prometheus", "alertmanager"])
def test_export_writes_files_and_says_which(kind: str, tmp_path: Path) -> None:
    config = tmp_path / "tidegate.yaml"
    config.write_text("alerts: {rules: {errors: {threshold: 0.25}}}\n")
    out = tmp_path / "made" / "here"
    words = ["export", kind, "--out", str(out), "--json"]
    if kind != "grafana":
        words += ["--config", str(config)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    written = json.loads(result.stdout)["files"]
    assert sorted(written) == sorted(map(str, out.iterdir()))
    assert len(written) == (len(DASHBOARDS) if kind == "grafana" else 1)
    if kind == "prometheus":
        assert "> 0.25 and" in Path(written[0]).read_text()


def test_a_rule_that_prometheus_cannot_look_at_has_no_expression() -> None:
    with pytest.raises(KeyError):
        expression(DEFAULTS["user-cost"])


def test_export_says_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["export", "grafana", "--out", str(tmp_path / "file" / "x")])
    assert result.exit_code == 1
    assert "Cannot write into" in result.output
