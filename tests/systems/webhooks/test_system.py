"""Webhooks are added, changed and asked; what is secret of them stays so."""

import logging
import sqlite3
from pathlib import Path

import pytest
from msgspec import structs

from socbot.config import WebhooksConfig
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.documents import ConfigError
from socbot.systems.signals import Draft
from socbot.systems.webhooks import WebhookType
from tests.receiver import Receiver, answer, hang, redirect
from tests.systems.webhooks.conftest import WHERE, MakePost, Post, StepClock
from tests.systems.webhooks.test_delivering import DISCORD, HOOK, SLACK
from tests.systems.webhooks.test_signing import NEW

TOKEN = "hook-token-1234567890"
KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


@pytest.mark.parametrize(
    ("type", "url", "shown"),
    [
        ("discord", DISCORD, "https://discord.com/api/webhooks/…/…tttt"),
        ("slack", SLACK, "https://hooks.slack.com/services/…/…ssss"),
        ("custom", HOOK, "https://hooks.example.com/…7890"),
    ],
)
async def test_what_is_shown_of_an_address_is_masked(
    make_post: MakePost, type: WebhookType, url: str, shown: str
) -> None:
    async with make_post() as post:
        webhook = await post.webhooks.add("Chat", type, url, ("alert", "Drill"), "local:owner")
        assert (webhook.name, webhook.address, webhook.triggers) == ("chat", shown, ("alert", "drill"))
        assert url not in repr(webhook)
        assert (webhook,) == post.webhooks.all()
        assert post.webhooks.get("CHAT") == webhook


@pytest.mark.parametrize(
    ("name", "type", "url", "triggers", "argument"),
    [
        ("", "custom", HOOK, (), "name"), ("a b", "custom", HOOK, (), "name"), ("123", "custom", HOOK, (), "name"),
        ("x" * 33, "custom", HOOK, (), "name"), ("taken", "custom", HOOK, (), "name"),
        ("TAKEN", "custom", HOOK, (), "name"), ("a", "custom", HOOK, ("nothing",), "triggers"),
        ("a", "smtp", HOOK, (), "type"), ("a", "apprise", "ntfys://ntfy.sh/topic", (), "type"),
        ("a", "discord", HOOK, (), "url"), ("a", "slack", DISCORD, (), "url"),
        ("a", "custom", f"http://10.0.0.1/{TOKEN}", (), "url"), ("a", "custom", f"file:///{TOKEN}", (), "url"),
        ("a", "custom", f"https://169.254.169.254/{TOKEN}", (), "url"),
    ],
)  # fmt: skip
async def test_what_cannot_be_added_says_why_and_nothing_of_the_address(
    make_post: MakePost, name: str, type: WebhookType, url: str, triggers: tuple[str, ...], argument: str
) -> None:
    async with make_post(allow=()) as post:
        await post.webhooks.add("taken", "custom", HOOK, (), "local:owner")
        with pytest.raises(InvalidArgument) as caught:
            await post.webhooks.add(name, type, url, triggers, "local:owner")
        assert caught.value.argument == argument
        assert TOKEN not in str(caught.value)
        assert len(post.webhooks.all()) == 1


async def test_there_are_no_more_than_fifty(make_post: MakePost) -> None:
    async with make_post() as post:
        for number in range(50):
            await post.webhooks.add(f"h{number}", "custom", HOOK, (), "local:owner")
        with pytest.raises(UserError, match="50 webhooks already"):
            await post.webhooks.add("one-more", "custom", HOOK, (), "local:owner")


async def test_who_is_not_there_is_said_with_the_nearest(make_post: MakePost) -> None:
    async with make_post() as post:
        await post.webhooks.add("security-chat", "custom", HOOK, (), "local:owner")
        with pytest.raises(InvalidArgument, match="did you mean `security-chat`"):
            post.webhooks.get("securty-chat")
        for what in ("nobody", "99"):
            with pytest.raises(InvalidArgument):
                await post.webhooks.retry(what)


@pytest.mark.parametrize(
    ("key", "value", "before", "after"),
    [
        ("triggers", "alert, drill error", "all", "alert drill error"), ("triggers", "alert all", "all", "all"),
        ("enabled", "off", "on", "off"), ("severity", "high", "info", "critical"),
        ("rate", "2.5", "no bound", "2.5 a second"),
        ("rate", "0", "no bound", "no bound"), ("secret", NEW, "none", "set"), ("secret", "off", "none", "none"),
        ("url", "https://other.example.com/other-token-1234567890", "https://hooks.example.com/…7890",
         "https://other.example.com/…7890"),
    ],
)  # fmt: skip
async def test_what_is_set_is_kept(make_post: MakePost, key: str, value: str, before: str, after: str) -> None:
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        assert await post.webhooks.set("siem", key, value, "local:owner") == (before, after)
        kept = post.webhooks.all()
    async with make_post() as post:
        assert post.webhooks.all() == kept


@pytest.mark.parametrize(
    ("type", "key", "value"),
    [
        ("custom", "name", "x"), ("custom", "triggers", ""), ("custom", "triggers", "everything"),
        ("custom", "enabled", "maybe"), ("custom", "severity", "so-so"), ("custom", "rate", "-1"),
        ("custom", "rate", "nan"), ("custom", "secret", TOKEN), ("discord", "secret", NEW),
        ("custom", "url", f"http://localhost/{TOKEN}"),
    ],
)  # fmt: skip
async def test_what_cannot_be_set_changes_nothing(make_post: MakePost, type: WebhookType, key: str, value: str) -> None:
    async with make_post(allow=()) as post:
        before = await post.webhooks.add("siem", type, HOOK if type == "custom" else DISCORD, (), "local:owner")
        with pytest.raises(InvalidArgument) as caught:
            await post.webhooks.set("siem", key, value, "local:owner")
        assert TOKEN not in str(caught.value)
        assert NEW not in str(caught.value)
        assert post.webhooks.get("siem") == before


# -- what is enqueued ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("triggers", "severity", "wanted"),
    [
        (("all",), "info", ["alert info", "alert critical", "error warning"]),
        (("alert",), "info", ["alert info", "alert critical"]),
        (("alert", "error"), "warning", ["alert critical", "error warning"]),
        (("drill",), "info", []),
        (("all",), "critical", ["alert critical"]),
    ],
)
async def test_what_is_wanted_is_enqueued(
    make_post: MakePost, triggers: tuple[str, ...], severity: str, wanted: list[str]
) -> None:
    async with make_post(deliver=False) as post:
        await post.webhooks.add("siem", "custom", HOOK, triggers, "local:owner")
        await post.webhooks.set("siem", "severity", severity, "local:owner")
        await post.signals.raise_("alert", "alert info", severity="info")
        await post.signals.raise_("alert", "alert critical", severity="critical")
        await post.signals.raise_("error", "error warning", severity="warning")
        assert [each.event.title for each in reversed(await post.webhooks.deliveries())] == wanted
        assert post.webhooks.backlog == len(wanted)


async def test_a_signal_that_is_not_kept_is_not_sent(make_post: MakePost) -> None:
    async with make_post(deliver=False) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")

        def work(connection: object) -> None:
            post.signals.write(connection, Draft("alert", "Door"))  # type: ignore[arg-type]
            raise ValueError("what the signal is about failed")

        with pytest.raises(ValueError, match="failed"):
            await post.database.write(work)
        post.signals.wake()
        assert await post.webhooks.deliveries() == ()


@pytest.mark.promise("P41")
async def test_the_outbox_is_bounded_and_says_what_it_dropped(make_post: MakePost) -> None:
    async with make_post(deliver=False, most_waiting=10) as post:
        for name in ("one", "two"):
            await post.webhooks.add(name, "custom", HOOK, ("alert",), "local:owner")
        await post.webhooks.set("two", "triggers", "error", "local:owner")
        for number in range(25):
            await post.signals.raise_("alert", f"Door {number}")
        kept = await post.webhooks.deliveries("one")
        assert [each.event.title for each in kept] == [f"Door {number}" for number in range(24, 14, -1)]
        assert post.webhooks.backlog == 10
        assert post.webhooks.get("one").dropped == 15
    async with make_post(deliver=False) as post:
        stats = post.webhooks.stats()
        assert (stats.each["one"].dropped, stats.each["one"].waiting, stats.each["two"].dropped) == (15, 10, 0)
        assert stats.total.dropped == 15


async def test_what_is_old_is_forgotten(make_post: MakePost, clock: StepClock) -> None:
    async with make_post(clock, deliver=False, retention_days=2) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await post.signals.raise_("alert", "Old")
        clock.forward(3 * 86_400)
        await post.signals.raise_("alert", "New")
        sweep = next(job for job in post.webhooks.jobs() if job.name == "webhook_retention")
        await sweep.run()
        assert [(each.event.title, each.state) for each in await post.webhooks.deliveries()] == [
            ("New", "waiting"),
            ("Old", "dead"),
        ]
        await sweep.run()
        assert [each.event.title for each in await post.webhooks.deliveries()] == ["New"]


# -- secrets ------------------------------------------------------------------------------------------


@pytest.mark.promise("P11")
async def test_no_address_and_no_secret_lies_open_in_the_store_or_the_log(
    make_post: MakePost, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url(f"/in/{TOKEN}")
    echo = f"No such hook: {TOKEN} at {url}"
    receiver.on(f"/in/{TOKEN}", answer(500, body=echo), answer(404, body=echo))
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", url, (), "local:owner")
        await post.webhooks.set("siem", "secret", NEW, "local:owner")
        await post.signals.raise_("alert", "Door")
        await receiver.wait_for(1)
        attempt = await post.webhooks.test("siem")
        assert (attempt.status, attempt.answer) == (404, "No such hook: … at …")
        shown = repr((attempt, post.webhooks.all(), await post.webhooks.deliveries(), post.told))
    with sqlite3.connect(tmp_path / "data" / "socbot.db") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    for text in (shown, dump, caplog.text):
        assert TOKEN not in text
        assert NEW not in text
        assert NEW.removeprefix("whsec_") not in text
    assert "siem" in dump


async def test_a_key_that_is_lost_is_said_and_an_address_set_again_works(
    make_post: MakePost, receiver: Receiver, tmp_path: Path
) -> None:
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        await post.webhooks.set("siem", "secret", NEW, "local:owner")
    (tmp_path / "data" / "webhooks.key").unlink()
    async with make_post() as post:
        webhook = post.webhooks.get("siem")
        assert (webhook.readable, webhook.signed) == (False, 0)
        await post.signals.raise_("alert", "Door")
        attempt = await post.webhooks.test("siem")
        assert not attempt.delivered
        assert "set it again" in attempt.answer
        assert receiver.requests == []
        await post.webhooks.set("siem", "url", receiver.url("/hook"), "local:owner")
        assert post.webhooks.get("siem").readable
        await receiver.wait_for(1)


async def test_the_key_may_come_from_the_configuration(make_post: MakePost, tmp_path: Path) -> None:
    async with make_post(key=KEY) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        assert not (tmp_path / "data" / "webhooks.key").exists()
    async with make_post(key=KEY) as post:
        assert post.webhooks.get("siem").readable
        post.webhooks.configure(WebhooksConfig())
        assert not post.webhooks.get("siem").readable
        post.webhooks.configure(WebhooksConfig(key=KEY))
        assert post.webhooks.get("siem").readable


async def test_where_no_key_can_be_written_nothing_is_added(make_post: MakePost, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "webhooks.key").mkdir()
    async with make_post() as post:
        with pytest.raises(UserError, match="No key to seal the address with"):
            await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")


async def test_the_configuration_is_checked_before_it_is_in_force(post: Post) -> None:
    with pytest.raises(ConfigError, match=r"webhooks\.allow"):
        post.webhooks.check(WebhooksConfig(allow=("not a host!",)))


# -- tests and ends -----------------------------------------------------------------------------------


async def test_a_test_says_what_came_of_it(make_post: MakePost, receiver: Receiver) -> None:
    async with make_post() as post:
        receiver.on("/good", answer(200))
        receiver.on("/bad", answer(500, body="out of order"))
        receiver.on("/away", redirect("http://127.0.0.1/elsewhere"))
        receiver.on("/slow", hang)
        for name in ("good", "bad", "away", "slow"):
            await post.webhooks.add(name, "custom", receiver.url(f"/{name}"), (), "local:owner")
        found = {name: await post.webhooks.test(name) for name in ("good", "bad", "away")}
        post.webhooks.configure(structs.replace(WHERE, timeout=1.0))
        found["slow"] = await post.webhooks.test("slow")
        assert {name: (each.delivered, each.status) for name, each in found.items()} == {
            "good": (True, 200), "bad": (False, 500), "away": (False, 302), "slow": (False, 0),
        }  # fmt: skip
        assert found["bad"].answer == "out of order"
        assert "did not answer within 1 s" in found["slow"].answer
        assert 1 <= found["slow"].seconds < 3
        assert receiver.to("/good")[0].json()["event"] == "test"
        assert await post.webhooks.deliveries() == (), "tests are not kept"


async def test_one_that_is_removed_is_sent_nothing_more(post: Post, receiver: Receiver) -> None:
    receiver.on("/hook", answer(500))
    await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
    await post.signals.raise_("alert", "Door")
    await receiver.wait_for(1)
    assert (await post.webhooks.remove("siem")).name == "siem"
    await post.signals.raise_("alert", "Another door")
    assert await post.webhooks.deliveries() == ()
    await post.webhooks.add("siem", "custom", receiver.url("/anew"), (), "local:owner")
    await post.signals.raise_("alert", "A third door")
    await post.settled()
    assert len(receiver.to("/anew")) == 1


async def test_what_is_read_anew_is_served_anew(post: Post, receiver: Receiver) -> None:
    await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
    await post.webhooks.load()
    await post.signals.raise_("alert", "Door")
    await post.settled()
    assert len(receiver.requests) == 1
