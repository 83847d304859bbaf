"""The API: it is what its own description says, whatever it is asked."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import anyio.to_thread
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from socbot.config import WebhooksConfig
from socbot.dispatch.context import Context
from socbot.dispatch.replies import Reply
from socbot.testing import owner_said, said
from socbot.web.actions import ACTIONS
from socbot.web.live import PATH as LIVE
from socbot.web.views import VIEWS
from tests.web.conftest import MakeSite, Site

load_all_checks()

once = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""What does not depend on the bot's loop."""

SAME = ("unsupported_method", "ignored_auth", "negative_data_rejection", "positive_data_acceptance",
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance", "allow_header_conformance")  # fmt: skip
"""What is checked of each answer; what a command takes of its options is more than a schema says."""


async def furnish(site: Site) -> None:
    """Have something of everything in the store."""
    bot = site.bot

    async def broken(ctx: Context) -> Reply:
        raise ValueError("no such city")

    bot.dispatcher.command("broken", permission="public")(broken)
    for text in ("!ping", "!help", "!broken", "!nosuch", "!task_info", "!health", "!blacklist_add user 666 <b>spam</b>",
                 "!incident open high raid in #general", "!alert high login storm", "!set_command_cooldown ping 5s",
                 "!pipeline_mode rate_limit shadow", "!backup_now"):  # fmt: skip
        await bot.dispatch(owner_said(text))
    for text in ("!ping", "!broken", "!shutdown"):
        await bot.dispatch(said(text))
    await bot.webhooks.add("ops", "custom", "https://example.org/hook", ("alert",), "test")
    await bot.rate_limiter.violate(("local", "7"), "ping", "g1")
    await bot.telemetry.flush()


async def document(site: Site) -> dict[str, Any]:
    answer = await site.owner.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@once
async def test_the_description_is_valid_and_of_everything_that_is_served(make_site: MakeSite) -> None:
    async with make_site() as site:
        found = await document(site)
        validate(found)
        told = {(method, path) for path, method, _ in operations(found)}
        for view in VIEWS:
            assert ("get", re.sub(r"{(\w+):.*?}", r"{\1}", view.api_path)) in told
        for action in ACTIONS:
            assert ("post", f"/api/v1/actions/{action.name}") in told
        ids = [operation["operationId"] for _, _, operation in operations(found)]
        assert len(set(ids)) == len(ids)
        assert {"read_overview", "read_openapi", "retry_delivery", "raise_signal", "take_alerts"} <= set(ids)


@once
async def test_every_fact_and_every_argument_is_described(make_site: MakeSite) -> None:
    async with make_site() as site:
        found = await document(site)
        for path, method, operation in operations(found):
            assert operation["summary"].endswith("."), (path, operation["summary"])
            assert "{" not in operation["operationId"]
            assert {"401", "403", "500"} <= set(operation["responses"]), (path, method)
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (path, parameter["name"])
        for name, schema in found["components"]["schemas"].items():
            assert ":param" not in schema.get("description", ""), name


async def test_what_cannot_be_asked_for_is_named(make_site: MakeSite) -> None:
    async with make_site() as site:
        for query, told in (
            ("nosuch=1", "nosuch: that cannot be asked for here"),
            ("error_id=1", "error_id: that cannot be asked for here"),
            ("page=x", "page: expected a whole number, and 'x' is not that"),
            ("range=y", "range: expected 24h or 7d"),
        ):
            path = "/api/v1/errors" + ("/E-1" if "error_id" in query else "")
            answer = await site.owner.get(f"{path}?{query}")
            assert answer.status_code == 422, query
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert told in answer.json()["detail"]
        for view in VIEWS:
            answer = await site.owner.get(re.sub(r"{.*?}", "x", view.api_path) + "?nosuch=1")
            assert answer.status_code in (422, 404), view.path


async def test_pages_say_it_too_and_forgive_what_a_form_left_empty(make_site: MakeSite) -> None:
    async with make_site() as site:
        numbers = [
            (view, name)
            for view in VIEWS
            if "{" not in view.path
            for name, kind in view.query.__annotations__.items()
            if "int" in str(kind) or "float" in str(kind)
        ]
        assert numbers
        for view, name in numbers:
            wrong = await site.owner.get(f"{view.path}?{name}=<script>")
            assert wrong.status_code == 422, (view.path, name)
            assert name in wrong.text
            assert "<script>" not in wrong.text.replace("<script src", "")
            assert (await site.owner.get(f"{view.path}?{name}=&utm_source=x")).status_code == 200, (view.path, name)


async def test_problems_are_told_as_problems(make_site: MakeSite) -> None:
    async with make_site() as site:
        for method, path, status in (
            ("GET", "/api/v1/nosuch", 404),
            ("GET", "/api/v1/errors/E-NONE", 404),
            ("GET", "/api/v1/errors/%00", 404),
            ("POST", "/api/v1/overview", 405),
            ("GET", "/api/v1/actions/backup_now", 405),
            ("GET", "/api/v1/overview?limit=1", 422),
            ("GET", "/api/v1/jobs?a=1&a=2", 422),
            ("GET", "/api/v1/signals?severity=null", 422),
        ):
            answer = await site.owner.request(method, path)
            assert answer.status_code == status, (method, path, answer.text)
            assert answer.headers["Content-Type"].startswith("application/problem+json"), path
            problem = answer.json()
            assert (problem["status"], bool(problem["title"]), bool(problem["detail"])) == (status, True, True), path
        refused = await site.visitor.get("/api/v1/overview")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.promise("P01")
@pytest.mark.promise("P38")
async def test_what_is_the_owners_alone_is_shown_to_nobody_else(make_site: MakeSite) -> None:
    async with make_site() as site:
        add = site.bot.access.add
        viewer = {"Authorization": "Bearer " + await add("looks", "viewer", "test")}
        sender = {"Authorization": "Bearer " + await add("sends", "sender", "test")}
        assert {view.path for view in VIEWS if view.needs == "owner"} == {"/access", "/logs"}
        for view in VIEWS:
            path = re.sub(r"{.*?}", "x", view.path)
            for place in (path, "/api/v1" + path):
                if view.needs == "owner":
                    refused = await site.visitor.get(place, headers=viewer)
                    assert refused.status_code == 403, place
                    assert "owner" in refused.text
                assert (await site.visitor.get(place, headers=sender)).status_code == 403, place
                stranger = await site.visitor.get(place)
                assert stranger.status_code == (401 if place.startswith("/api") else 303), place
        for headers, status in ((viewer, 403), (sender, 403), ({}, 303)):
            assert (await site.visitor.get(LIVE, headers=headers)).status_code == status
        assert (await site.visitor.get("/api/v1/overview", headers=viewer)).status_code == 200


# -- whatever it is asked ------------------------------------------------------------------------------


def probe(found: dict[str, Any], address: str, headers: dict[str, str], examples: int) -> None:
    """Ask for what the description says can be asked for, and for what it says cannot; on a thread."""
    rejected = {"expected-statuses": ["4xx"]}
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": rejected}})
    schema = schemathesis.openapi.from_dict(found, config=config)
    schema.config.base_url = address
    failures = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        acts = operation.method == "post"
        excluded = {"positive_data_acceptance"} if acts else set()
        checks = [CHECKS.get_one(name) for name in SAME if name not in excluded]
        for mode in GenerationMode:
            try:
                _asking(operation.as_strategy(generation_mode=mode), address, headers, checks, examples)()
            except hypothesis.errors.Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # nothing about it can be wrong
            except (FailureGroup, Failure) as failure:
                failures.append(f"{operation.method} {operation.path} ({mode.value})\n{failure}")
    assert not failures, "\n\n".join(failures)


def _asking(cases: Any, address: str, headers: dict[str, str], checks: list[Any], examples: int) -> Callable[[], None]:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @hypothesis.given(case=cases)
    def ask(case: Any) -> None:
        response = case.call(base_url=address, headers=headers)
        case.validate_response(response, checks=checks, headers=headers)

    return ask


@once
@pytest.mark.parametrize("examples", [1, pytest.param(30, marks=pytest.mark.slow)])
async def test_it_is_what_it_says(make_site: MakeSite, examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with make_site(webhooks=WebhooksConfig(timeout=1.0)) as site:
        await furnish(site)
        headers = {"Authorization": site.owner.headers["Authorization"]}
        await anyio.to_thread.run_sync(probe, await document(site), site.web.address, headers, examples)
        assert os.environ["NO_PROXY"]
