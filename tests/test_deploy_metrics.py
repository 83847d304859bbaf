"""What is in deploy/ for Prometheus and Grafana fits what a bot really offers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from socbot.config import BackupConfig, Config, WebConfig
from socbot.documents import parse_yaml
from socbot.testing import FakeClock, said
from socbot.web.probes import PATHS
from tests.web.conftest import MakeSite, make_site  # noqa: F401 (a fixture)
from tests.web.test_metrics import CHAIN, COMMANDS, fill, scrape

DEPLOY = Path(__file__).parent.parent / "deploy"
PROMETHEUS = DEPLOY / "prometheus"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rules() -> list[dict[str, Any]]:
    (group,) = parse_yaml((PROMETHEUS / "rules.yml").read_text(), "rules.yml")[0]["groups"]
    return list(group["rules"])


@pytest.fixture
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "socbot.json").read_text())
    return found


def expressions(node: Any) -> Iterator[str]:
    """What is asked of Prometheus anywhere in ``node``."""
    if isinstance(node, dict):
        yield from (each for key, each in node.items() if key in ("expr", "definition") and isinstance(each, str))
        for each in node.values():
            yield from expressions(each)
    elif isinstance(node, list):
        for each in node:
            yield from expressions(each)


def asked_for(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels in it."""
    metrics = set(re.findall(r"\b(?:socbot|process)_[a-z_]+\b", expression))
    labels = set(re.findall(r"([a-z_]+)\s*=~?\s*\"", expression))
    labels |= {each.strip() for names in re.findall(r"by \(([^)]*)\)", expression) for each in names.split(",")}
    return metrics, labels


async def test_every_figure_that_is_asked_for_exists(
    make_site: MakeSite,  # noqa: F811
    clock: FakeClock,
    tmp_path: Path,
    rules: list[dict[str, Any]],
    dashboard: dict[str, Any],
) -> None:
    backup = BackupConfig(folder=f"{tmp_path}/backups", paths=())
    async with make_site(clock=clock, middleware=CHAIN, commands=COMMANDS, backup=backup) as site:
        await fill(site)
        await site.bot.backups.now("hourly")
        await site.bot.backups.drill()
        for text in ("!broken", "!picky"):
            await site.bot.dispatch(said(text, "77"))
        site.bot.vitals.loop_lag = lambda: 0.001
        site.bot.vitals.worst_lag = lambda seconds: 0.001
        await site.bot.telemetry.flush()
        families = list(parse((await scrape(site)).text))
    samples = [sample for family in families for sample in family.samples]
    there = {sample.name for sample in samples}
    labels = {label for sample in samples for label in sample.labels} | {"instance", "job"}
    asked = [*(each["expr"] for each in rules), *expressions(dashboard)]
    assert len(asked) > 50
    for expression in asked:
        wanted, by = asked_for(expression)
        assert wanted <= there, expression
        assert by <= labels, expression
    assert not {"job", "instance"} & {label for sample in samples for label in sample.labels}, "Prometheus' own"


def test_each_alert_says_what_is_wrong_what_that_means_and_where_to_look(rules: list[dict[str, Any]]) -> None:
    from socbot.web.rendering import NAVIGATION

    pages = {path for _, entries in NAVIGATION for path, *_ in entries}
    for rule in rules:
        told = rule["annotations"]
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert "{{ $labels.instance }}" in told["summary"], rule["alert"]
        assert told["description"].endswith("."), rule["alert"]
        assert told["dashboard"].removeprefix("http://{{ $labels.instance }}") in pages, rule["alert"]
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_the_scrape_is_one_that_the_server_answers() -> None:
    (scraped,) = parse_yaml((PROMETHEUS / "prometheus.yml").read_text(), "prometheus.yml")[0]["scrape_configs"]
    config = Config().web
    assert scraped["static_configs"] == [{"targets": [f"{config.host}:{config.port}"]}]
    assert scraped["metrics_path"] == "/metrics"
    assert "credentials_file" in scraped["authorization"]
    assert scraped["job_name"] == "socbot"


def test_the_dashboard_can_be_imported_anywhere(dashboard: dict[str, Any]) -> None:
    """No data source but the one that is chosen; ids of its own; nothing laid over anything else."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = dashboard["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] == "row" or panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel.get("targets", ()))
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {each["name"] for each in dashboard["templating"]["list"]} == {"datasource", "instance"}


def test_what_asks_the_container_how_it_is_asks_what_there_is() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "HEALTHCHECK" in dockerfile
    asked = re.findall(r"127\.0\.0\.1:.*?(/[a-z]+z)\b", dockerfile)
    assert asked == ["/readyz"]
    assert set(asked) <= set(PATHS)
    assert f"SOCBOT_WEB__PORT', '{WebConfig().port}'" in dockerfile


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "rules.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("test", "rules", "rules.test.yml"),
    ],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    done = run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
