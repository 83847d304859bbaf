"""From a signal to a request, and what follows from the answer."""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import httpx
import pytest
import respx
from msgspec import structs

from socbot.config import StorageConfig
from socbot.egress import Answer, Client
from socbot.systems.webhooks import WebhookType
from tests.receiver import (
    Behaviour,
    Exchange,
    Receiver,
    answer,
    close_early,
    close_silently,
    endless,
    garbage,
    gzip_bomb,
    hang,
    reset,
    storm,
    trusting,
)
from tests.systems.webhooks.conftest import MakePost, Post, StepClock
from tests.systems.webhooks.forms import FORMS

HOOK = "https://hooks.example.com/in/hook-token-1234567890"
DISCORD = "https://discord.com/api/webhooks/123456789012345678/" + "t" * 68
SLACK = "https://hooks.slack.com/services/T0000000/B0000000/" + "s" * 24

Times: TypeAlias = list[float]


def answering(clock: StepClock, times: Times, *answers: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    """Give one answer after the other, the last for ever, and write down when."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        times.append(clock.monotonic())
        found = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    return answer


def status(code: int, headers: dict[str, str] | None = None, json: object = None) -> httpx.Response:
    return httpx.Response(code, headers=headers) if json is None else httpx.Response(code, headers=headers, json=json)


async def alerts(post: Post, count: int, first: int = 0) -> list[str]:
    return [(await post.signals.raise_("alert", f"Door {number}")).id for number in range(first, first + count)]


def ids(router: respx.MockRouter) -> list[str]:
    return [call.request.headers["webhook-id"] for call in router.calls]


async def test_a_signal_is_delivered(make_post: MakePost, receiver: Receiver) -> None:
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), ("alert",), "local:owner")
        signal = await post.signals.raise_("alert", "Door open", "The back door", severity="critical")
        await post.signals.raise_("error", "Not wanted here")
        await post.settled()
        (request,) = receiver.requests
        assert request.json()["id"] == request.headers["webhook-id"] == signal.id
        (delivery,) = await post.webhooks.deliveries()
        assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
        assert post.webhooks.get("siem").sent == 1
        assert post.webhooks.backlog == 0


async def test_it_is_the_same_on_either_store(
    make_post: MakePost, either_storage: StorageConfig, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(200), status(500), status(410), status(200)))
    async with make_post(clock, storage=either_storage, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        sent = await alerts(post, 3)
        await post.advance(10)
        assert ids(router) == [sent[0], sent[1], sent[1]]
        assert [each.state for each in await post.webhooks.deliveries()] == ["waiting", "dead", "delivered"]
        assert (await post.webhooks.test("siem")).revived
        await post.quiet()
        assert await post.webhooks.retry("siem") == 1
        await post.quiet()
        assert [each.state for each in await post.webhooks.deliveries("siem", "delivered")] == ["delivered"] * 3
        await post.webhooks.remove("siem")
        assert await post.webhooks.deliveries() == ()


# -- when it is tried again ---------------------------------------------------------------------------


@pytest.mark.promise("P40")
@pytest.mark.parametrize("half", [0, 1])
async def test_nobody_is_tried_before_the_time_that_was_asked_for(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter, half: int
) -> None:
    forms = [form for form in FORMS if form.wait][half::2]
    clock.step(1_700_000_000.0 - clock.time())
    times: list[Times] = [[] for _ in forms]
    async with make_post(clock, client=client, deliver=False) as post:
        for number, form in enumerate(forms):
            refusal = httpx.Response(429, headers=form.headers, content=form.body)
            side_effect = answering(clock, times[number], refusal, status(200))
            router.post(f"{HOOK}/{number}").mock(side_effect=side_effect)
            await post.webhooks.add(f"h{number}", "custom", f"{HOOK}/{number}", (), "local:owner")
        await post.signals.raise_("alert", "Door")
        async with post.delivering():
            await post.advance(130)
    for form, (first, *later) in zip(forms, times, strict=True):
        assert len(later) == (1 if form.wait <= 120 else 0), form
        for second in later:
            assert form.wait <= second - first <= form.wait * 1.1, form


@pytest.mark.promise("P40")
async def test_to_be_asked_to_wait_is_no_failed_try_and_keeps_the_order(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    storm = [status(429, {"retry-after": "2"})] * 30
    router.post(HOOK).mock(side_effect=answering(clock, times, *storm, status(200)))
    async with make_post(clock, client=client, tries=3) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        sent = await alerts(post, 2)
        await post.advance(90)
        assert ids(router) == [sent[0]] * 31 + [sent[1]]
        assert all(second - first >= 2 for first, second in pairwise(times[:31]))


@pytest.mark.promise("P40")
async def test_a_long_silence_is_kept_and_its_owner_told_once(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(503, {"retry-after": "7200"}), status(200)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await alerts(post, 1)
        await post.advance(3_000)
        await alerts(post, 1, first=1)  # something new is no reason to disturb whoever asked for silence
        await post.advance(4_190)
        assert len(times) == 1
        assert [notice.title for notice in post.told] == ["⚠️ Webhook Parked"]
        await post.advance(600)
        assert 7_200 <= times[1] - times[0] <= 7_200 * 1.1
        assert len(times) == 3


@pytest.mark.promise("P40")
async def test_a_bucket_holds_up_its_webhook_and_a_global_limit_all_of_discord(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    limited = {"retry-after": "10", "x-ratelimit-bucket": "b1", "x-ratelimit-scope": "user"}
    everywhere = {"retry-after": "100", "x-ratelimit-global": "true", "x-ratelimit-scope": "global"}
    urls = {name: f"{DISCORD}{name}" for name in ("a", "b")}
    times: dict[str, Times] = {"a": [], "b": []}
    refused, good = status(429, limited, {"retry_after": 10, "global": False}), status(204)
    for name, answers in (("a", (refused, good)), ("b", (good, good, status(429, everywhere, {"global": True}), good))):
        router.post(url__startswith=urls[name]).mock(side_effect=answering(clock, times[name], *answers))
    async with make_post(clock, client=client) as post:
        for name, url in urls.items():
            await post.webhooks.add(name, "discord", url, (), "local:owner")
        began = clock.monotonic()
        await alerts(post, 2)
        await post.advance(20)
        assert [round(each - began) for each in times["b"]] == [0, 0], "another bucket is not held up"
        assert [round(each - began) for each in times["a"]] in ([0, 10, 10], [0, 11, 11])
        await alerts(post, 1, first=2)  # b is told that the limit is global; a may have been quicker by one
        await post.advance(5)
        await alerts(post, 1, first=3)
        before = len(times["a"]), len(times["b"])
        await post.advance(90)
        assert (len(times["a"]), len(times["b"])) == before
        await post.advance(30)
        assert len(times["a"]) == 5
        assert len(times["b"]) == 5


@pytest.mark.promise("P40")
async def test_an_empty_bucket_is_learned_from_an_answer_that_was_good(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    full = {"x-ratelimit-bucket": "b", "x-ratelimit-remaining": "1", "x-ratelimit-reset-after": "4.5"}
    empty = full | {"x-ratelimit-remaining": "0"}
    router.post(url__startswith=DISCORD).mock(
        side_effect=answering(clock, times, status(204, full), status(204, empty), status(204))
    )
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("a", "discord", DISCORD, (), "local:owner")
        await alerts(post, 3)
        await post.advance(6)
        assert times[1] == times[0]
        assert 4.5 <= times[2] - times[1] <= 4.6


@pytest.mark.promise("P41")
async def test_ten_tries_are_made_within_their_bounds_the_last_a_day_after(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(500)))
    async with make_post(clock, client=client, span=600.0, pause_after=86_400.0) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await alerts(post, 1)
        await post.advance(650)
        assert len(times) == 10
        assert times[9] - times[0] == pytest.approx(600, abs=0.2)
        assert all(later >= earlier for earlier, later in pairwise(times))
        assert times[1] - times[0] <= 5
        (delivery,) = await post.webhooks.deliveries("siem", "dead")
        assert (delivery.attempts, delivery.last_status, delivery.reason) == (10, 500, "10 tries failed")
        assert len(set(ids(router))) == 1


@pytest.mark.promise("P41")
@pytest.mark.promise("P42")
@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 413])
async def test_a_permanent_answer_is_not_tried_again(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter, code: int
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(code), status(200)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await alerts(post, 2)
        await post.advance(40)
        dead = await post.webhooks.deliveries("siem", "dead")
        assert [each.reason for each in dead] == [f"refused for good: {code}"]
        gone = code in (404, 410)
        assert len(times) == (1 if gone else 2)
        assert post.webhooks.get("siem").state == ("paused" if gone else "active")
        assert [notice.title for notice in post.told] == (["⚠️ Webhook Paused"] if gone else [])


@pytest.mark.promise("P43")
async def test_what_cannot_be_read_holds_up_nothing(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    router.post(url__startswith=HOOK).mock(return_value=status(200))
    async with make_post(clock, client=client, deliver=False) as post:
        for name in ("one", "two"):
            await post.webhooks.add(name, "custom", f"{HOOK}/{name}", (), "local:owner")
        await alerts(post, 2)
        spoil = (
            "UPDATE deliveries SET event = :event WHERE id IN (SELECT min(id) FROM deliveries WHERE webhook = 'one')"
        )
        await post.database.write(lambda connection: connection.change(spoil, {"event": '{"id": 5'}))
        async with post.delivering():
            await post.quiet()
        assert [each.state for each in await post.webhooks.deliveries()] == ["delivered"] * 4
        assert b"An event that cannot be read" in b"".join(call.request.content for call in router.calls)


@pytest.mark.promise("P43")
async def test_whatever_is_wrong_with_one_webhook_the_others_go_on(
    make_post: MakePost, clock: StepClock, router: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Client):
        async def post(self, url: str, *arguments: Any, **options: Any) -> Answer:
            if url.endswith("bad"):
                raise RuntimeError("a fault of the bot's own")
            return await super().post(url, *arguments, **options)

    router.post(f"{HOOK}/good").mock(return_value=status(200))
    broken = Broken(transport=httpx.MockTransport(router.async_handler))
    async with make_post(clock, client=broken) as post:
        for name in ("bad", "good"):
            await post.webhooks.add(name, "custom", f"{HOOK}/{name}", (), "local:owner")
        for number in range(3):
            await alerts(post, 1, first=number)
            await post.advance(40)
        assert len(await post.webhooks.deliveries("good", "delivered")) == 3
        assert len(await post.webhooks.deliveries("bad", "waiting")) == 3
    assert "webhook bad: a round of deliveries failed" in caplog.text


async def test_something_new_is_a_reason_to_try_early_what_failed(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    route = router.post(HOOK).mock(return_value=status(500))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        sent = await alerts(post, 1)
        (head,) = await post.webhooks.deliveries()
        while head.next_at < clock.time() + 3_000:
            await post.advance(600)
            (head,) = await post.webhooks.deliveries()
        tried = len(router.calls)
        sent += await alerts(post, 1, first=1)
        await post.advance(310)
        assert len(router.calls) == tried + 1
        _, after = await post.webhooks.deliveries()
        assert after.attempts == head.attempts, "that try does not count"
        assert after.next_at == pytest.approx(head.next_at)
        route.mock(return_value=status(200))
        sent += await alerts(post, 1, first=2)
        await post.advance(310)
        assert ids(router)[tried + 1 :] == sent


# -- pauses -------------------------------------------------------------------------------------------


@pytest.mark.promise("P42")
async def test_nothing_but_failures_pauses_it_once_and_a_test_revives_it(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    route = router.post(HOOK)
    route.mock(side_effect=answering(clock, times, status(500)))
    async with make_post(clock, client=client, pause_after=60.0, span=600.0) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        sent = await alerts(post, 2)
        await post.advance(400)
        webhook = post.webhooks.get("siem")
        assert webhook.state == "paused"
        assert webhook.state_reason.startswith("nothing but failures for ")
        assert webhook.state_reason.endswith(", at last: 500")
        assert [notice.title for notice in post.told] == ["⚠️ Webhook Paused"]
        tried = len(times)
        sent += await alerts(post, 1, first=2)
        await post.advance(2_000)
        assert len(times) == tried
        assert not (await post.webhooks.test("siem")).delivered
        assert post.webhooks.get("siem").state == "paused"
    async with make_post(clock, client=client, pause_after=60.0, span=600.0) as post:
        await post.advance(100)
        assert post.webhooks.get("siem").state == "paused", "over a restart"
        assert len(times) == tried + 1
        route.mock(side_effect=answering(clock, times, status(200)))
        attempt = await post.webhooks.test("siem")
        assert (attempt.delivered, attempt.revived) == (True, True)
        await post.quiet()
        assert ids(router)[-3:] == sent
        assert post.webhooks.get("siem").failing_since is None
        assert post.told == []


@pytest.mark.promise("P42")
async def test_a_success_now_and_then_keeps_it_active(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, *[status(500), status(200)] * 20))
    async with make_post(clock, client=client, pause_after=60.0) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        for number in range(20):
            await alerts(post, 1, first=number)
            await post.advance(20)
        assert len(times) == 40
        assert post.webhooks.get("siem").state == "active"
        assert post.told == []


@pytest.mark.promise("P42")
async def test_one_that_was_revived_has_its_time_anew(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    router.post(HOOK).mock(return_value=status(500))
    async with make_post(clock, client=client, pause_after=60.0, span=600.0) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await alerts(post, 1)
        await post.advance(400)
        assert post.webhooks.get("siem").state == "paused"
        await post.webhooks.set("siem", "enabled", "on", "local:owner")
        await post.advance(50)
        assert post.webhooks.get("siem").state == "active"
        clock.step(86_400.0)  # as an administrator sets it
        await post.quiet()
        await post.webhooks.retry("siem")
        await post.advance(5)
        assert post.webhooks.get("siem").state == "active"
        await post.advance(400)
        assert post.webhooks.get("siem").state == "paused"
        assert len(post.told) == 2


@pytest.mark.promise("P42")
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_test_that_works_has_what_waits_tried_at_once(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter, restarted: bool
) -> None:
    route = router.post(HOOK).mock(return_value=status(503, {"retry-after": "3000"}))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        sent = await alerts(post, 2)
        await post.quiet()
        if not restarted:
            await revive(post, route)
    if restarted:
        async with make_post(clock, client=client) as post:
            await revive(post, route)
    assert ids(router)[-2:] == sent


async def revive(post: Post, route: respx.Route) -> None:
    route.mock(return_value=status(200))
    assert (await post.webhooks.test("siem")).delivered
    await post.quiet()
    assert await post.webhooks.deliveries(state="waiting") == ()


async def test_switching_it_on_revives_it_and_off_lets_nothing_in(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(404), status(200)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await alerts(post, 2)
        await post.quiet()
        assert await post.webhooks.set("siem", "enabled", "on", "local:owner") == ("on", "on")
        await post.quiet()
        assert len(times) == 2
        assert await post.webhooks.set("siem", "enabled", "off", "local:owner") == ("on", "off")
        await alerts(post, 1, first=2)
        await post.quiet()
        assert len(times) == 2
        assert post.webhooks.backlog == 0


async def test_a_bound_of_its_own_is_kept(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(200)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await post.webhooks.set("siem", "rate", "0.5", "local:owner")
        await alerts(post, 4)
        await post.advance(7)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert len(times) == 4
        assert all(2 <= gap < 2.2 for gap in gaps)


@pytest.mark.parametrize("step", [-3_600.0, 3_600.0])
async def test_a_clock_that_is_set_shortens_and_lengthens_no_wait(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter, step: float
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(503, {"retry-after": "100"}), status(200)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        await alerts(post, 1)
        await post.advance(10)
        clock.step(step)
        await alerts(post, 1, first=1)
        await post.advance(120)
        assert len(times) == 3
        assert 100 <= times[1] - times[0] <= 110


# -- storms -------------------------------------------------------------------------------------------


async def test_on_discord_the_message_that_is_there_counts(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    edits: Times = []
    message = {"id": "998877665544332211"}
    router.post(url__startswith=DISCORD).mock(side_effect=answering(clock, times, status(200, json=message)))
    edit = router.patch(f"{DISCORD}/messages/998877665544332211")
    edit.mock(side_effect=answering(clock, edits, status(200, json=message)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("chat", "discord", DISCORD, (), "local:owner")
        await post.signals.raise_("error", "The same")
        await post.quiet()
        for _ in range(100):
            await post.signals.raise_("error", "The same")
        await alerts(post, 1)
        await post.advance(60)
        assert len(times) == 2, "the same is one message; another event is not held up by it"
        assert 1 <= len(edits) <= 3
        assert "(101 times)" in edit.calls.last.request.content.decode()
        assert len(await post.webhooks.deliveries()) == 2


@pytest.mark.parametrize("answers", [(404,), (500, 500, 500), (500, 200)])
async def test_a_message_that_cannot_be_edited_concerns_nobody(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter, answers: Sequence[int]
) -> None:
    edits: Times = []
    router.post(url__startswith=DISCORD).mock(return_value=status(200, json={"id": "998877665544332211"}))
    router.patch(url__startswith=DISCORD).mock(side_effect=answering(clock, edits, *map(status, answers)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("chat", "discord", DISCORD, (), "local:owner")
        for _ in range(2):
            await post.signals.raise_("error", "The same")
            await post.quiet()
        await post.advance(120)
        assert len(edits) == len(answers)
        assert [each.state for each in await post.webhooks.deliveries()] == ["delivered"]
        assert post.webhooks.get("chat").state == "active"
        assert post.told == []


async def test_where_nothing_can_be_edited_what_goes_on_is_told_ever_more_seldom(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter
) -> None:
    times: Times = []
    router.post(HOOK).mock(side_effect=answering(clock, times, status(200)))
    async with make_post(clock, client=client) as post:
        await post.webhooks.add("siem", "custom", HOOK, (), "local:owner")
        began = clock.monotonic()
        for _ in range(60):
            await post.signals.raise_("error", "The same")
            await post.advance(30)
        assert 4 <= len(times) <= 6
        assert [round(each - began) // 30 for each in times[:4]] == [0, 3, 6, 12]
        assert len(set(ids(router))) == len(times), "each with an id of its own"
        bodies = [call.request.read() for call in router.calls]
        assert len({ids(router)[0]} & {name.partition(".")[0] for name in ids(router)}) == 1
        assert b'"count":1,' in bodies[0]


async def test_what_happens_again_while_it_is_on_its_way_is_not_lost(make_post: MakePost, receiver: Receiver) -> None:
    came, go = anyio.Event(), anyio.Event()

    async def held(exchange: Exchange) -> None:
        came.set()
        await go.wait()
        await answer(200)(exchange)

    receiver.on("/hook", held, answer(200))
    async with make_post(timeout=10.0) as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        signal = await post.signals.raise_("error", "The same")
        await came.wait()
        await post.signals.raise_("error", "The same")
        await post.signals.raise_("error", "The same")
        go.set()
        await post.settled("delivered", 1)
        first, second = reversed(await post.webhooks.deliveries())
        assert (first.state, second.state, second.event.count) == ("delivered", "waiting", 3)
        assert second.message_id == f"{signal.id}.3"


@pytest.mark.parametrize(("type", "url"), [("discord", DISCORD), ("slack", SLACK)])
async def test_what_piled_up_for_people_is_one_message_and_drills_another(
    make_post: MakePost, clock: StepClock, client: Client, router: respx.MockRouter, type: WebhookType, url: str
) -> None:
    times: Times = []
    router.post(url__startswith=url).mock(side_effect=answering(clock, times, status(200)))
    async with make_post(clock, client=client, deliver=False) as post:
        await post.webhooks.add("chat", type, url, (), "local:owner")
        await alerts(post, 30)
        for number in range(3):
            await post.signals.raise_("drill", f"Exercise {number}")
        async with post.delivering():
            await post.quiet()
            assert len(times) == 2
            first, second = (call.request.content.decode() for call in router.calls)
            assert "30 events that waited" in first
            assert "[DRILL] 3 events that waited" in second
            assert "Exercise" not in first
            assert len(await post.webhooks.deliveries(state="delivered")) == 33


async def test_a_program_is_sent_every_event(make_post: MakePost, receiver: Receiver) -> None:
    async with make_post(deliver=False, timeout=10.0) as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        sent = await alerts(post, 250)
        async with post.delivering():
            await post.settled()
    assert [request.headers["webhook-id"] for request in receiver.requests] == sent


async def test_what_was_delivered_while_the_store_was_away_is_not_sent_again(
    make_post: MakePost,
    storage: StorageConfig,
    receiver: Receiver,
    clock: StepClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with make_post(clock, storage=structs.replace(storage, busy_timeout=0.1), timeout=10.0) as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        await post.webhooks.test("siem")
        other = sqlite3.connect(tmp_path / "data" / "socbot.db", isolation_level=None)
        await alerts(post, 1)
        other.execute("BEGIN IMMEDIATE")
        try:
            await receiver.wait_for(2)
            with anyio.fail_after(10):
                while "cannot be stored yet" not in caplog.text:  # noqa: ASYNC110 - there is no event of that
                    await anyio.sleep(0.005)
        finally:
            other.execute("ROLLBACK")
            other.close()
        await alerts(post, 1, first=1)
        clock.forward(10)
        await post.settled("delivered", 2)
        assert len(receiver.requests) == 3


# -- over the wire ------------------------------------------------------------------------------------


async def loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


MESSAGE = {"id": "998877665544332211"}


def discord_at(receiver: Receiver) -> tuple[str, str, str]:
    """A webhook's address there, and the paths to which its messages are sent and edited."""
    url = f"https://discord.com:{receiver.port}/api/webhooks/123456789012345678/{'t' * 68}?thread_id=77"
    path = url.partition(f":{receiver.port}")[2]
    return url, path.replace("?", "?wait=true&"), path.replace("?", f"/messages/{MESSAGE['id']}?")


@pytest.mark.promise("P40")
async def test_discord_over_tls_with_a_storm_of_429(make_post: MakePost) -> None:
    async with Receiver(tls=True) as receiver:
        url, sent, _ = discord_at(receiver)
        receiver.on(sent, storm(0.2), storm(0.2), answer(200, body=MESSAGE))
        async with make_post(client=Client(("127.0.0.0/8",), tls=trusting(), resolve=loopback)) as post:
            await post.webhooks.add("chat", "discord", url, (), "local:owner")
            await post.signals.raise_("error", "The same")
            await post.settled("delivered", 1)
        first, second, third = receiver.requests
        assert second.at - first.at >= 0.2
        assert third.at - second.at >= 0.2
        assert third.headers["host"] == f"discord.com:{receiver.port}"


@pytest.mark.promise("P36")
async def test_a_message_is_edited_over_tls(make_post: MakePost, clock: StepClock) -> None:
    async with Receiver(tls=True) as receiver:
        url, sent, edited = discord_at(receiver)
        receiver.otherwise = answer(200, body=MESSAGE)
        async with make_post(clock, client=Client(("127.0.0.0/8",), tls=trusting(), resolve=loopback)) as post:
            await post.webhooks.add("chat", "discord", url, (), "local:owner")
            for _ in range(2):
                await post.signals.raise_("error", "The same")
                await post.settled("delivered", 1)
                clock.forward(10)
        first, second = receiver.requests
        assert (first.method, first.path, second.method, second.path) == ("POST", sent, "PATCH", edited)
        assert second.json()["allowed_mentions"] == {"parse": []}
        assert "username" not in second.json()


@pytest.mark.parametrize("behaviour", [reset, close_early, close_silently, endless, garbage, hang, gzip_bomb(1)])
async def test_a_receiver_that_misbehaves_has_failed_and_the_next_try_works(
    make_post: MakePost, receiver: Receiver, behaviour: Behaviour
) -> None:
    receiver.on("/hook", behaviour, answer(200))
    async with make_post(timeout=1.0, span=60.0, tries=50) as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        await post.signals.raise_("alert", "Door")
        await post.settled("delivered", 1)
        assert post.webhooks.get("siem").sent == 1
