"""The dead man's switch is called while all is well, and whatever answers there, the rounds go on."""

import logging

import anyio
import pytest

from socbot.config import StorageConfig
from socbot.dispatch.replies import moment
from socbot.egress import Client
from socbot.systems.health.switch import through
from socbot.testing import FakeClock
from tests.receiver import Receiver, answer, hang
from tests.systems.health.gauges import Gauge, Watched, watching


async def says(watched: Watched, text: str) -> None:
    """Return when the check of the switch says so: the call is nobody's to wait for."""
    with anyio.fail_after(5):
        while True:
            found = {result.name: result.text for result in (await watched.health.ask()).results}
            if found["dead_mans_switch"] == text:
                return
            await anyio.sleep(0.01)


@pytest.mark.promise("P52")
async def test_it_is_called_after_healthy_rounds_alone(
    storage: StorageConfig, clock: FakeClock, receiver: Receiver
) -> None:
    gauge = Gauge()
    url = receiver.url("/ping/geheim")
    async with (
        Client(("127.0.0.0/8",)) as client,
        watching(storage, clock, [gauge.check], dead_mans_switch=url) as watched,
    ):
        watched.health.switch.call = through(client)
        await watched.rounds(gauge, 5)
        await receiver.wait_for(1)
        await watched.rounds(gauge, 150, 400)
        await watched.health.ask()
        await watched.rounds(gauge, 400, 5)
        await receiver.wait_for(2)
    assert [(request.method, request.path) for request in receiver.requests] == [("GET", "/ping/geheim")] * 2


async def test_that_it_fails_is_logged_once_and_shown_and_not_its_secret(
    storage: StorageConfig, clock: FakeClock, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.on("/ping/geheim", answer(404), answer(500), answer(200))
    gauge = Gauge()
    async with (
        Client(("127.0.0.0/8",)) as client,
        watching(storage, clock, [gauge.check], dead_mans_switch=receiver.url("/ping/geheim")) as watched,
    ):
        watched.health.switch.call = through(client)
        await says(watched, "not called yet")
        for status in (404, 500):
            await watched.rounds(gauge, 5)
            await says(watched, f"calling it failed: NotAnswered: it answered {status}")
        assert (await watched.health.ask()).status == "degraded"
        await watched.rounds(gauge, 5)
        await says(watched, f"called {moment(clock.time())}")
    told = [record.message for record in caplog.records if "dead man" in record.message]
    assert told == [
        "the dead man's switch could not be called: NotAnswered: it answered 404",
        "the dead man's switch answers again",
    ]
    assert "geheim" not in caplog.text


async def test_a_receiver_that_hangs_holds_up_no_round(
    storage: StorageConfig, clock: FakeClock, receiver: Receiver
) -> None:
    receiver.on("/ping", hang)
    gauge = Gauge()
    async with (
        Client(("127.0.0.0/8",)) as client,
        watching(storage, clock, [gauge.check], dead_mans_switch=receiver.url("/ping")) as watched,
    ):
        watched.health.switch.call = through(client)
        with anyio.fail_after(5):
            await watched.rounds(gauge, 5, 5, 5)


async def test_without_an_address_nothing_is_called_or_shown(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, 5)
        assert watched.health.last is not None
        assert [result.name for result in watched.health.last.results] == ["gauge"]
