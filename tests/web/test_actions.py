"""Actions: each is a command that goes through the chain, with its record of who did it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.lowlevel
import httpx
import pytest

from socbot.bot import Bot
from socbot.config import RateLimitConfig, WebhooksConfig
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message, User
from socbot.dispatch.replies import Reply
from socbot.systems.access import FIRST, PLATFORM, Role
from socbot.testing import FakeClock, owner_said
from socbot.web import actions
from socbot.web.actions import ACTIONS
from tests.web.conftest import MakeSite, Site

ME = f"{PLATFORM}:{FIRST}"
NOTIFY = {"section": "errors", "key": "notify", "value": "on"}


async def act(site: Site, name: str, given: object = None, **headers: str) -> httpx.Response:
    return await site.owner.post(f"/api/v1/actions/{name}", json={} if given is None else given, headers=headers)


async def audited(bot: Bot) -> list[tuple[str, str, str, str]]:
    return [(each.who, each.action, each.what, each.result) for each in await bot.audit.entries()]


async def a_token(site: Site, name: str, role: Role) -> dict[str, str]:
    return {"Authorization": "Bearer " + await site.bot.access.add(name, role, "test")}


async def a_group(bot: Bot) -> str:
    """A group of errors."""

    async def broken(ctx: Context) -> Reply:
        raise ValueError("no such city")

    bot.dispatcher.command("broken")(broken)
    outcome = await bot.dispatch(owner_said("!broken"))
    record = await bot.errors.find(outcome.error_id or "")
    assert record is not None
    return record.group_id


async def test_each_action_is_a_command_that_takes_what_it_is_given(make_site: MakeSite) -> None:
    async with make_site() as site:
        registry = site.bot.dispatcher.registry
        for action in ACTIONS:
            for command in actions.SECTIONS.values() if "setting" in action.name else [action.command]:
                found = registry.get(command)
                assert found is not None, command
                takes = {each.name: each.required for each in found.parameters}
                given = {each.argument or each.name for each in action.options if each.passed} | set(action.fixed)
                needed = {each.argument or each.name for each in action.options if each.required and each.passed}
                assert given - {"duration"} <= set(takes), command
                assert {each for each, required in takes.items() if required} <= needed | set(action.fixed), command


@pytest.mark.promise("P54")
async def test_a_person_is_listed_and_let_in_again(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        answer = await act(site, "blacklist_add", {"user": "local:666", "reason": "spam & eggs"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["outcome"] == "ok"
        assert answer.json()["command"] == "blacklist_add"
        entry = await site.bot.blacklist.find("user", ("local", "666"))
        assert entry is not None
        assert (entry.reason, entry.expires_at) == ("spam & eggs", None)
        who, action, what, result = (await audited(site.bot))[0]
        assert (who, action, result) == (ME, "blacklist_add", "ok")
        assert "local:666" in what
        await act(site, "blacklist_add", {"user": "local:666", "duration": "2h"})
        entry = await site.bot.blacklist.find("user", ("local", "666"))
        assert entry is not None
        assert entry.expires_at == clock.time() + 7200
        answer = await act(site, "blacklist_remove", {"user": "local:666", "reason": "sorry"})
        assert answer.status_code == 200, answer.text
        assert await site.bot.blacklist.find("user", ("local", "666")) is None
        assert (await audited(site.bot))[0][1] == "blacklist_remove"


async def test_a_guild_is_listed_and_a_bare_id_is_discords(make_site: MakeSite) -> None:
    async with make_site() as site:
        await act(site, "blacklist_add", {"user": "123456789012345678"})
        await act(site, "blacklist_add", {"user": "irc:libera", "kind": "guild"})
        assert await site.bot.blacklist.find("user", ("discord", "123456789012345678"))
        assert await site.bot.blacklist.find("guild", ("irc", "libera"))


async def test_violations_are_forgotten(make_site: MakeSite) -> None:
    async with make_site(rate_limit=RateLimitConfig()) as site:
        await site.bot.rate_limiter.violate(("local", "7"), "ping", None)
        answer = await act(site, "clear_violations", {"user": "local:7"})
        assert answer.json()["reply"]["text"].startswith("1 violations")
        assert (await site.bot.rate_limiter.standing(("local", "7"))).violations == 0
        assert (await audited(site.bot))[0][:2] == (ME, "reset_violations")


async def test_a_group_of_errors_is_muted_and_resolved(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        group = await a_group(site.bot)
        assert (await act(site, "mute_group", {"group": group, "duration": "1h"})).status_code == 200
        assert (await act(site, "resolve_group", {"group": group})).status_code == 200
        found = await site.bot.errors.group(group)
        assert found is not None
        assert found.muted_until == clock.time() + 3600
        assert found.state == "resolved"
        assert [each[:2] for each in await audited(site.bot)][:2] == [
            (ME, "error_resolve"),
            (ME, "error_mute"),
        ]


async def test_jobs_are_run_stopped_and_started(make_site: MakeSite) -> None:
    async with make_site(jobs=True) as site:
        ran = await act(site, "run_job", {"name": "signals"})
        assert ran.status_code == 200, ran.text
        assert (await act(site, "stop_job", {"name": "signals"})).json()["reply"]["tone"] == "ok"
        assert site.bot.supervisor.find("signals").state == "stopped"
        assert (await act(site, "start_job", {"name": "signals"})).status_code == 200
        assert site.bot.supervisor.find("signals").state != "stopped"
        assert [each[1] for each in await audited(site.bot)][:3] == ["start_task", "stop_task", "run_task"]


async def test_a_mode_and_a_setting_are_changed_and_returned(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert (await act(site, "set_mode", {"middleware": "rate_limit", "mode": "shadow"})).status_code == 200
        modes = {stage.name: stage.mode for stage in site.bot.dispatcher.chain.stages}
        assert modes["rate_limit"] == "shadow"
        given = {"section": "errors", "key": "notify"}
        assert (await act(site, "set_setting", {**given, "value": False})).status_code == 200
        assert site.bot.config.errors.notify is False
        assert (await act(site, "reset_setting", given)).status_code == 200
        assert site.bot.config.errors.notify is True
        assert [each[1] for each in await audited(site.bot)][:3] == ["error_config", "error_config", "pipeline_mode"]


async def test_a_section_that_is_set_in_the_file_alone_is_named(make_site: MakeSite) -> None:
    async with make_site() as site:
        answer = await act(site, "set_setting", {"section": "storage", "key": "url", "value": "x"})
        assert answer.status_code == 422
        assert "config.yaml" in answer.json()["detail"]


async def test_a_webhook_is_tested_and_used_again(make_site: MakeSite) -> None:
    async with make_site(webhooks=WebhooksConfig(allow=("127.0.0.0/8",), timeout=1.0)) as site:
        await site.bot.webhooks.add("ops", "custom", "http://127.0.0.1:9/hook", ("alert",), "test")
        await site.bot.webhooks.set("ops", "enabled", "off", "test")
        assert (await act(site, "resume_webhook", {"name": "ops"})).status_code == 200
        assert site.bot.webhooks.get("ops").enabled
        assert (await act(site, "retry_delivery", {"what": "ops"})).json()["reply"]["text"] == "Nothing of it is dead."
        tested = await act(site, "test_webhook", {"name": "ops"})
        assert (tested.status_code, tested.json()["reply"]["text"]) == (200, "Not delivered.")
        assert [each[1] for each in await audited(site.bot)][:3] == ["test_webhook", "webhook_retry", "webhook_config"]


async def test_a_backup_is_made_and_verified(make_site: MakeSite) -> None:
    async with make_site() as site:
        made = await act(site, "backup_now")
        assert made.status_code == 200, made.text
        (backup,) = await site.bot.backups.list()
        assert (await act(site, "verify_backup", {"name": backup.backup.name})).status_code == 200
        assert [each[1] for each in await audited(site.bot) if each[0].startswith(PLATFORM)][:2] == [
            "verify_backup",
            "backup_now",
        ]


async def test_maintenance_is_begun_and_ended(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert (await act(site, "maintenance", {"state": "on", "message": "Back at 4"})).status_code == 200
        assert site.bot.settings.maintenance == "Back at 4"
        assert (await act(site, "maintenance", {"state": "off"})).status_code == 200
        assert site.bot.settings.maintenance is None
        assert [each[:2] for each in await audited(site.bot)][:2] == [(ME, "maintenance")] * 2


async def test_health_is_looked_at_now(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        assert site.bot.health.last is None
        assert "Health" in (await act(site, "check_health")).json()["reply"]["title"]
        assert site.bot.health.last is not None


async def test_a_token_is_made_shown_once_and_taken_away(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        await browser.send("token_add", "/access", name="grafana", role="viewer")
        found = re.search(r"<code>(soc_\w+)</code>", (await browser.client.get("/")).text)
        assert found is not None
        token = {"Authorization": f"Bearer {found[1]}"}
        assert (await site.visitor.get("/api/v1/overview", headers=token)).status_code == 200
        assert found[1] not in (await browser.client.get("/")).text
        asked = await act(site, "token_remove", {"name": "grafana"})
        assert asked.status_code == 202
        assert (await act(site, "token_remove", {"confirm": asked.json()["confirm"]})).status_code == 200
        assert (await site.visitor.get("/api/v1/overview", headers=token)).status_code == 401
        done = [each[:2] for each in await audited(site.bot) if each[1].startswith("token_")]
        assert done == [(ME, "token_remove"), (f"{PLATFORM}:somebody", "token_add"), ("socbot", "token_add")]


# -- who, and how it is refused -----------------------------------------------------------------------


@pytest.mark.promise("P01")
@pytest.mark.promise("P38")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_is_no_owner_gets_nothing_dispatched(make_site: MakeSite) -> None:
    async with make_site() as site:
        seen: list[object] = []
        site.bot.dispatcher.observe(seen.append)
        actors: dict[str, tuple[dict[str, str], int]] = {
            "nobody": ({}, 401),
            "a viewer": (await a_token(site, "looks", "viewer"), 403),
            "a sender": (await a_token(site, "sends", "sender"), 403),
            "a token of the owner's name": (await a_token(site, FIRST + "x", "viewer"), 403),
            "one that is taken away": (await a_token(site, "gone", "owner"), 401),
            "a wrong one": ({"Authorization": "Bearer soc_" + "0" * 64}, 401),
            "the owner's name": ({"Authorization": f"Bearer {FIRST}"}, 401),
        }
        await site.bot.access.remove("gone")
        for actor, (headers, status) in actors.items():
            for action in ACTIONS:
                options = {each.name: "x" for each in action.options}
                for path in (f"/api/v1/actions/{action.name}", f"/actions/{action.name}"):
                    for given in ({"json": options}, {"data": options}, {"json": {"confirm": "0" * 32}}):
                        answer = await site.visitor.post(path, headers=headers, **given)  # type: ignore[arg-type]
                        assert answer.status_code == status, (actor, path, answer.text)
        assert seen == []
        assert {action for _, action, _, _ in await audited(site.bot)} == {"token_add"}


@pytest.mark.promise("P01")
async def test_every_action_is_a_command_that_only_owners_may_use_or_everybody(make_site: MakeSite) -> None:
    """So that the dispatcher refuses by the token's own role whatever the page has let through."""
    async with make_site(rate_limit=RateLimitConfig(cooldown=0.0, burst=10_000, cooldowns={})) as site:
        for role in ("viewer", "sender"):
            await site.bot.access.add(role, role, "test")
            for action in ACTIONS:
                names = actions.SECTIONS.values() if "setting" in action.name else [action.command]
                for name in names:
                    found = site.bot.dispatcher.registry.get(name)
                    assert found is not None
                    text = f"!{name}" + " x" * sum(each.required for each in found.parameters)
                    outcome = await site.bot.dispatch(Message(text, User(role), PLATFORM, PLATFORM))
                    assert outcome.refused_by == ("permission" if found.permission != "public" else None), text


IMPOSSIBLE = [
    (b"{", "application/json", 400),
    (b"[" * 10_000, "application/json", 422),
    (b"\xff", "application/json", 400),
    (b"[]", "application/json", 422),
    (b'{"name": null}', "application/json", 422),
    (b'{"name": ""}', "application/json", 422),
    (b"{}", "application/json", 422),
    (b'{"name": "a", "other": "b"}', "application/json", 422),
    (b'{"name": "a\\u0000b"}', "application/json", 422),
    (b'{"name": "nosuch"}', "application/json", 422),
    (b'{"name": "a"}', "text/plain", 415),
    (b'{"name": "' + b"x" * 20_000 + b'"}', "application/json", 413),
    (b'{"confirm": "nonsense"}', "application/json", 422),
]


async def test_what_cannot_be_is_a_problem_that_says_so(make_site: MakeSite) -> None:
    async with make_site() as site:
        for body, type, status in IMPOSSIBLE:
            headers = {"Content-Type": type}
            answer = await site.owner.post("/api/v1/actions/test_webhook", content=body, headers=headers)
            assert answer.status_code == status, (body[:40], answer.text)
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert answer.json()["status"] == status
            assert answer.json()["detail"]


async def test_a_failure_has_the_id_of_its_error(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_site() as site:
        monkeypatch.setattr(site.bot.webhooks, "retry", None)
        answer = await act(site, "retry_delivery", {"what": "1"})
        assert answer.status_code == 500
        found = await site.bot.errors.find(answer.json()["error_id"])
        assert found is not None
        assert found.command == "webhook_retry"


async def test_limits_hold_here_too_and_say_when_to_come_back(make_site: MakeSite, clock: FakeClock) -> None:
    limits = RateLimitConfig(cooldown=3.0, exempt_owner=False, exempt_admins=False)
    async with make_site(clock=clock, rate_limit=limits) as site:
        assert (await act(site, "set_setting", NOTIFY)).status_code == 200
        answer = await act(site, "set_setting", NOTIFY)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
        assert answer.json()["outcome"]["refused_by"] == "rate_limit"
        clock.forward(3.0)
        assert (await act(site, "set_setting", NOTIFY)).status_code == 200


async def test_a_bot_that_shuts_down_says_so(make_site: MakeSite) -> None:
    async with make_site() as site:
        await site.bot.drain(0.0)
        answer = await act(site, "backup_now")
        assert answer.status_code == 503
        assert "shutting down" in answer.json()["detail"]
        assert "Retry-After" in answer.headers


async def test_an_action_with_a_key_runs_once(make_site: MakeSite) -> None:
    async with make_site() as site:
        key = {"Idempotency-Key": "deploy-7"}
        assert (await act(site, "set_setting", NOTIFY, **key)).status_code == 200
        assert (await act(site, "set_setting", NOTIFY, **key)).status_code == 409
        assert [each[1] for each in await audited(site.bot)].count("error_config") == 1
        assert (await act(site, "set_setting", NOTIFY, **{"Idempotency-Key": "a b"})).status_code == 422


# -- questions ----------------------------------------------------------------------------------------


@pytest.mark.promise("P17")
async def test_what_asks_first_is_done_with_the_yes(make_site: MakeSite) -> None:
    async with make_site() as site:
        asked = await act(site, "stop_job", {"name": "telemetry"})
        assert asked.status_code == 202
        assert "Stop it all the same?" in asked.json()["question"]
        assert 0 < asked.json()["expires_in"] <= 60
        assert site.bot.supervisor.find("telemetry").state != "stopped"
        wrong = await act(site, "start_job", {"confirm": asked.json()["confirm"]})
        assert wrong.status_code == 403  # the question was asked by another action
        token = await a_token(site, "second", "owner")
        url = "/api/v1/actions/stop_job"
        theirs = await site.visitor.post(url, json={"confirm": asked.json()["confirm"]}, headers=token)
        assert theirs.status_code == 403
        done = await act(site, "stop_job", {"confirm": asked.json()["confirm"]})
        assert done.status_code == 200, done.text
        assert site.bot.supervisor.find("telemetry").state == "stopped"
        assert (await act(site, "stop_job", {"confirm": asked.json()["confirm"]})).status_code == 403


# -- forms --------------------------------------------------------------------------------------------


class Browser:
    """Somebody who is signed in."""

    def __init__(self, client: httpx.AsyncClient, csrf: str) -> None:
        self.client, self.csrf = client, csrf

    async def send(self, action: str, back: str = "/jobs", **options: str) -> httpx.Response:
        form = {"csrf": self.csrf, "back": back, **options}
        return await self.client.post(f"/actions/{action}", data=form, headers={"Origin": str(self.client.base_url)})


@asynccontextmanager
async def browsing(site: Site, name: str = "somebody", role: Role = "owner") -> AsyncIterator[Browser]:
    token = await site.bot.access.add(name, role, "test")
    async with httpx.AsyncClient(base_url=site.web.address, trust_env=False, follow_redirects=True) as client:
        page = await client.post("/login", data={"token": token})
        found = re.search(r'name="csrf" value="(\w+)"', page.text)
        assert found is not None
        client.follow_redirects = False
        yield Browser(client, found[1])


async def test_a_form_leads_back_and_what_was_said_is_shown_once(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        answer = await browser.send("blacklist_add", "/jobs?x=1", user="local:6", reason="<b>&`<script>`", duration="")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?x=1")
        first = (await browser.client.get("/")).text
        assert "On the blacklist" in first or "blacklist" in first.lower()
        assert 'class="notice said good"' in first
        assert "<b>&" not in first
        assert "<script>" not in first.replace("<script src", "")
        assert '<a href="/abuse/local/user/6">' in first
        second = (await browser.client.get("/")).text
        assert "notice said" not in second
        entry = await site.bot.blacklist.find("user", ("local", "6"))
        assert entry is not None
        assert entry.reason == "<b>&`<script>`"


async def test_a_page_that_refreshes_itself_takes_no_notice_away(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        await browser.send("retry_delivery", what="1")
        assert "notice said" not in (await browser.client.get("/", headers={"X-Refresh": "1"})).text
        assert "notice said" in (await browser.client.get("/")).text


async def test_another_session_is_told_nothing(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as one, browsing(site, "other") as other:
        await one.send("retry_delivery", what="1")
        assert "notice said" not in (await other.client.get("/")).text


AWAY = ("//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nX: y", "javascript:alert(1)", "", "/a b")


async def test_a_form_never_leads_away(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        for back in AWAY:
            answer = await browser.send("retry_delivery", back, what="1")
            assert (answer.status_code, answer.headers["Location"]) == (303, "/"), back


async def test_a_question_is_asked_on_a_page_and_answered_there(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        for answer, state in (("no", "waiting"), ("yes", "stopped")):
            asked = await browser.send("stop_job", name="telemetry")
            assert asked.status_code == 200
            assert "Stop it all the same?" in asked.text
            assert "<code>telemetry</code>" in asked.text
            found = re.search(r'name="confirm" value="(\w+)"', asked.text)
            assert found is not None
            said = await browser.send("stop_job", confirm=found[1], answer=answer)
            assert said.status_code == 303
            told = (await browser.client.get("/")).text
            assert ("Nothing was done." in told) == (answer == "no")
            assert (site.bot.supervisor.find("telemetry").state == "stopped") == (state == "stopped")


async def test_a_mistake_in_a_form_is_told_on_the_page_it_came_from(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        answer = await browser.send("mute_group", group="G-NONE", duration="soon")
        assert answer.status_code == 303
        page = (await browser.client.get("/")).text
        assert 'class="notice said warn"' in page
        assert "duration: <code>soon</code> is not a duration" in page
        assert "!error_mute" not in page
        answer = await browser.send("mute_group", group="G-NONE")
        assert answer.status_code == 422
        assert "duration: this is needed." in answer.text


async def test_a_viewer_is_told_on_a_page_that_it_is_not_theirs(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site, "looker", "viewer") as browser:
        answer = await browser.send("retry_delivery", what="1")
        assert answer.status_code == 403
        assert await audited(site.bot) == [] or all(each[1] != "webhook_retry" for each in await audited(site.bot))


@pytest.mark.promise("P38")
async def test_a_form_without_its_token_does_nothing(make_site: MakeSite) -> None:
    async with make_site() as site, browsing(site) as browser:
        browser.csrf = "0" * 64
        answer = await browser.send("blacklist_add", user="local:6")
        assert answer.status_code == 403
        assert await site.bot.blacklist.find("user", ("local", "6")) is None


async def test_what_takes_long_goes_on_and_is_told_later(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "PATIENCE", 0.05)
    go = anyio.Event()
    async with make_site() as site, browsing(site) as browser:

        async def waits(what: str) -> int:
            await go.wait()
            return 3

        monkeypatch.setattr(site.bot.webhooks, "retry", waits)
        answer = await act(site, "retry_delivery", {"what": "ops"})
        assert answer.status_code == 202
        assert "goes on" in answer.json()["detail"]
        await browser.send("retry_delivery", what="ops")
        assert "Still running" in (await browser.client.get("/")).text
        go.set()
        with anyio.fail_after(5):
            while "3 deliveries are sent again." not in (await browser.client.get("/")).text:
                await anyio.lowlevel.checkpoint()
