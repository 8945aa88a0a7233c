"""The token board on the real thing: both services as processes, a Prometheus that scrapes them, its rules and Grafana's dashboards."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from reelgate import Client, Settings
from reelgate.processes import Services

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yaml"))
CASES = sorted((DEPLOY / "prometheus" / "tests").glob("*.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
NAME = re.compile(r"\b(?:reelgate_|gen_ai_client_)\w+")
PROMPT = "Create a video of a red ball that rolls to the left."
RECORDED = re.compile(r"\breelgate:[\w:]+")
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is missing (Debian: prometheus)")
needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus is missing (Debian: prometheus)"
)


@dataclass(frozen=True, kw_only=True)
class Board:
    """Pages of /metrics of both services after two videos, one of them asked for twice, and a Prometheus that has scraped them."""

    pages: dict[str, str]
    prometheus: str

    def ask(self, path: str, **query: str) -> Any:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own Prometheus
            return json.load(answer)["data"]

    def exported(self) -> set[str]:
        """Names of samples, of figures that have none yet too."""
        names = set()
        for page in self.pages.values():
            for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", page, re.MULTILINE):
                names |= {f"{name}_{end}" for end in ("bucket", "sum", "count")} if kind == "histogram" else {name}
        return names


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Board]:
    folder = tmp_path_factory.mktemp("board")
    ports = free_ports(3)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REELGATE_PREPROCESS_METRICS_ADDRESS", f"127.0.0.1:{ports[0]}")
        environment.setenv("REELGATE_PREPROCESS_LEDGER", f"sqlite:///{folder / 'ledger.db'}")
        environment.setenv("REELGATE_PREPROCESS_METRICS_TENANTS", "local")
        environment.setenv("REELGATE_GENERATOR_METRICS_ADDRESS", f"127.0.0.1:{ports[1]}")
        async with (
            Services(store=folder / "store", log=None) as services,
            Client(services.address) as client,
            scraping(folder, ports) as prometheus,
        ):
            for seed in (1, 1, 2):
                settings = Settings(seed=seed, width=32, height=32, frames=5, steps=4)
                await client.generate_to_file(PROMPT, folder / "video.mp4", settings=settings, timeout=120)
            pages = {job: await page(port) for job, port in zip(("preprocess", "generator"), ports, strict=False)}
            told = Board(pages=pages, prometheus=prometheus)
            await answered(told, "sum(reelgate_budget_reservations_ended_total) == 3")
            yield told


@asynccontextmanager
async def scraping(folder: Path, ports: list[int]) -> AsyncIterator[str]:
    """A Prometheus by the example's own file, every second."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "rules" / "*.yaml")]
    for job, port in zip(config["scrape_configs"], ports, strict=False):
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{ports[2]}",
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{ports[2]}"
    finally:
        process.terminate()
        await process.wait()


async def answered(board: Board, query: str) -> list[Any]:
    """The answer of Prometheus, once there is one."""
    for _ in range(200):
        try:
            found = await asyncio.to_thread(board.ask, "query", query=query)
        except OSError:
            found = {"result": []}
        if found["result"]:
            result: list[Any] = found["result"]
            return result
        await asyncio.sleep(0.1)
    raise AssertionError(f"{query}: no answer")


async def page(port: int) -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    return await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def panels() -> Iterator[tuple[str, str]]:
    """(panel, expression), as Grafana would send it for a range of an hour and every tenant."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")
                yield f"{path.stem}: {panel['title']}", expression.replace("$tenant", ".*")


def promtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """Its output; fails where it does."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_promtool
def test_promtool_takes_the_rules_and_the_example() -> None:
    assert len(RULES) >= 3
    promtool("check", "rules", *RULES)
    promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yaml")


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(case: Path) -> None:
    promtool("test", "rules", case)


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_case_that_expects_the_contrary_fails(case: Path, tmp_path: Path) -> None:
    """So the cases can fail: each alert that should fire is expected not to, one at a time would take long, so all at once."""
    tests = yaml.safe_load(case.read_text())
    tests["rule_files"] = [str((case.parent / name).resolve()) for name in tests["rule_files"]]
    wrong = copy.deepcopy(tests)
    for each in wrong["tests"]:
        each["alert_rule_test"][0]["exp_alerts"] = []
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "wrong.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    firing = [each for each in tests["tests"] if each["alert_rule_test"][0]["exp_alerts"]]
    assert (done.stdout + done.stderr).count("alertname:") >= len(firing)


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires, quiet = set(), set()
    for case in CASES:
        for each in yaml.safe_load(case.read_text())["tests"]:
            [asked] = each["alert_rule_test"]
            (fires if asked["exp_alerts"] else quiet).add(asked["alertname"])
    assert {rule["alert"] for rule in rules() if "alert" in rule} == fires == quiet


def test_dashboards_are_whole() -> None:
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert {board["uid"] for board in boards} == {
        f"reelgate-{name}" for name in ("tokens", "budgets", "cost", "gpu", "cache", "abuse")
    }
    for board in boards:
        variables = {variable["name"] for variable in board["templating"]["list"]}
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids)) >= 8
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(places) == len(set(places))
        for panel in board["panels"]:
            assert panel["title"]
            assert panel["targets"]
            used = {name for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
            assert used <= variables | {"__rate_interval", "__range"}


@needs_prometheus
@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_name_in_rules_and_dashboards_is_exported_by_a_service(board: Board) -> None:
    expressions = [rule["expr"] for rule in rules()] + [expression for _, expression in panels()]
    named = {name for text in expressions for name in NAME.findall(text)}
    recorded = {name for text in expressions for name in RECORDED.findall(text)}
    assert len(named) > 40
    assert named <= board.exported(), named - board.exported()
    assert recorded <= {rule.get("record") for rule in rules()}


@needs_promtool
@needs_prometheus
@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_promtool_takes_what_both_services_export(board: Board) -> None:
    for text in board.pages.values():
        promtool("check", "metrics", stdin=text)


@needs_prometheus
@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_prometheus_reaches_both_services_and_answers(board: Board) -> None:
    await answered(board, "sum(up) == 2")
    up = {each["metric"]["job"]: each["value"][1] for each in await answered(board, "up")}
    assert up == {"reelgate-preprocess": "1", "reelgate-generator": "1"}
    # Three prompts, one of them asked again: two videos were made, the third request got a stored one.
    causes = await answered(board, "reelgate_budget_reservations_ended_total")
    assert {each["metric"]["cause"]: each["value"][1] for each in causes} == {"done": "2", "stored": "1"}
    assert await answered(board, 'reelgate_preprocess_screened_total{tenant="local"} == 3')
    # A recorded rule, over what the rules evaluated themselves.
    assert await answered(board, "reelgate:prompts:rate15m")
    assert await answered(board, "reelgate:tokens_saved:rate5m")


@needs_prometheus
@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_prometheus_evaluates_every_rule_and_every_panel(board: Board) -> None:
    groups = board.ask("rules")["groups"]
    assert sum(len(group["rules"]) for group in groups) == len(list(rules()))
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"] == []
    for panel, expression in panels():
        try:
            board.ask("query", query=expression)
        except urllib.error.HTTPError as error:
            pytest.fail(f"{panel}: {error.read().decode()}")
