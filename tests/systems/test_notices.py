import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.dispatch.replies import Field, Reply
from socbot.systems.notices import LOG, MOST, RESERVE, WINDOW, Notices, shutting_down, startup
from socbot.testing import FakeClock


class Inbox:
    """A way that works until it is told not to."""

    def __init__(self) -> None:
        self.told: list[Reply] = []
        self.error: Exception | None = None

    async def __call__(self, reply: Reply) -> None:
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.told.append(reply)

    @property
    def titles(self) -> list[str]:
        return [reply.title for reply in self.told]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def notices(clock: FakeClock, inbox: Inbox) -> Notices:
    notices = Notices(clock)
    notices.offer("direct message", inbox)
    return notices


def critical(kind: str = "KeyError", error_id: str = "E-1", message: str = "no such host") -> Reply:
    fields = (Field("Error Type", kind), Field("Message", message, inline=False), Field("Error id", f"`{error_id}`"))
    return Reply("", "Critical Error", fields, tone="error")


# -- ways ---------------------------------------------------------------------------------------------


async def test_without_any_way_the_owner_finds_it_in_the_log(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    notices = Notices(clock)
    await notices.notify(Reply("The disk is full.", "Disk"))
    assert "for the owner: Disk\nThe disk is full." in caplog.text
    assert notices.delivery.delivered == {LOG: 1}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_first_way_that_works_is_taken(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, anyio_backend: str
) -> None:
    direct, channel, webhook = Inbox(), Inbox(), Inbox()
    notices = Notices(clock)
    for name, way in (("direct message", direct), ("channel", channel), ("webhook", webhook)):
        notices.offer(name, way)
    await notices.notify(Reply(title="one"))
    direct.error = PermissionError("direct messages are closed")
    channel.error = LookupError("no such channel")
    await notices.notify(Reply(title="two"))
    assert notices.delivery.failures == {
        "direct message": "PermissionError: direct messages are closed",
        "channel": "LookupError: no such channel",
    }
    webhook.error = ConnectionError("down")
    await notices.notify(Reply(title="three"))
    direct.error = None
    await notices.notify(Reply(title="four"))
    assert (direct.titles, channel.titles, webhook.titles) == (["one", "four"], [], ["two"])
    assert "three" in caplog.text
    assert notices.delivery.delivered == {"direct message": 2, "webhook": 1, LOG: 1}
    assert set(notices.delivery.failures) == {"channel", "webhook"}


async def test_a_way_that_does_not_answer_is_given_up(clock: FakeClock, inbox: Inbox) -> None:
    notices = Notices(clock, patience=0.01)
    notices.offer("direct message", lambda reply: anyio.sleep_forever())
    notices.offer("channel", inbox)
    await notices.notify(Reply(title="one"))
    assert inbox.titles == ["one"]
    assert notices.delivery.failures == {"direct message": "no answer within 0.01 s"}


async def test_a_way_can_be_replaced_and_withdrawn(clock: FakeClock, notices: Notices, inbox: Inbox) -> None:
    other = Inbox()
    notices.offer("direct message", other)
    await notices.notify(Reply(title="one"))
    notices.withdraw("direct message")
    notices.withdraw("direct message")
    await notices.notify(Reply(title="two"))
    assert (inbox.titles, other.titles) == ([], ["one"])


async def test_the_reason_of_a_failure_holds_no_secret(notices: Notices, inbox: Inbox) -> None:
    url = "https://discord.com/api/web" + "hooks/123456789012345678/" + "x" * 68
    inbox.error = ConnectionError(f"POST {url} failed\nfor good")
    await notices.notify(Reply(title="one"))
    (reason,) = notices.delivery.failures.values()
    assert "x" * 8 not in reason
    assert "\n" not in reason


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not readable")


async def test_however_a_way_fails_nothing_is_raised(
    notices: Notices, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    for number, error in enumerate((Unreadable(), ExceptionGroup("several", [OSError()]), TimeoutError("late"))):
        inbox.error = error
        await notices.notify(Reply(title=f"number {'abc'[number]}"))
    assert notices.delivery.delivered == {LOG: 3}
    assert all(f"number {letter}" in caplog.text for letter in "abc")


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_notice_whose_sender_is_cancelled_is_in_the_log(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, anyio_backend: str
) -> None:
    notices = Notices(clock)
    begun = anyio.Event()

    async def hang(reply: Reply) -> None:
        begun.set()
        await anyio.sleep_forever()

    notices.offer("direct message", hang)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notices.notify, Reply(title="one"))
        await begun.wait()
        tasks.start_soon(notices.notify, Reply(title="two"))  # waits for its turn
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert "for the owner: one" in caplog.text
    assert "for the owner: two" in caplog.text


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_notices_arrive_in_order_however_long_one_takes(clock: FakeClock, anyio_backend: str) -> None:
    notices, told, gate = Notices(clock), list[str](), anyio.Event()

    async def slow(reply: Reply) -> None:
        if not told:
            await gate.wait()
        told.append(reply.title)

    notices.offer("direct message", slow)
    async with anyio.create_task_group() as tasks:
        for title in ("a", "b", "c"):
            tasks.start_soon(notices.notify, Reply(title=title))
            await anyio.wait_all_tasks_blocked()
        gate.set()
    assert told == ["a", "b", "c"]


# -- the same again -----------------------------------------------------------------------------------


async def test_the_same_notice_is_told_once_in_ten_minutes_and_then_how_often_it_was_not(
    clock: FakeClock, notices: Notices, inbox: Inbox
) -> None:
    for number in range(5):
        await notices.notify(critical(error_id=f"E-{number}", message=f"host {'x' * number}"))
        clock.forward(100)
    assert inbox.titles == ["Critical Error"]
    assert notices.delivery.repeated == 4
    clock.forward(100)
    await notices.notify(critical())
    assert inbox.told[-1].text == "And 4 more like this since the last one."
    clock.forward(WINDOW)
    await notices.notify(critical())
    assert inbox.told[-1].text == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (critical("KeyError"), critical("OSError"), False),
        (Reply("Since <t:1700000000>, 12 times", "Disk"), Reply("Since <t:1700000300>, 15 times", "Disk"), True),
        (Reply("of `backup`", "Disk"), Reply("of `logs`", "Disk"), True),
        (Reply("of backup", "Disk"), Reply("of logs", "Disk"), False),
        (Reply(title="Job backup_1 has failed"), Reply(title="Job backup_2 has failed"), False),
        (Reply(title="Overdue", items=("a: by 50m",)), Reply(title="Overdue", items=("a: by 51m",)), True),
        (Reply(title="Overdue", items=("a: by 50m",)), Reply(title="Overdue", items=("b: by 50m",)), False),
    ],
)
async def test_what_makes_two_notices_the_same(
    notices: Notices, inbox: Inbox, one: Reply, other: Reply, same: bool
) -> None:
    await notices.notify(one)
    await notices.notify(other)
    assert len(inbox.told) == (1 if same else 2)


async def test_what_comes_back_after_a_recovery_is_news(notices: Notices, inbox: Inbox) -> None:
    down, up = Reply(title="Health Check Failed", tone="error"), Reply(title="Healthy Again", tone="ok")
    for notice in (down, down, up, up, down, up):
        await notices.notify(notice)
    assert inbox.told == [down, up, down, up]


# -- too much -----------------------------------------------------------------------------------------


async def test_what_is_too_much_is_told_together_once_there_is_room(
    clock: FakeClock, notices: Notices, inbox: Inbox
) -> None:
    names = "abcdefghij"
    for name in names:
        await notices.notify(Reply(title=f"Thing {name}"))
    assert inbox.titles == [f"Thing {name}" for name in names[: MOST - RESERVE]]
    await notices.catch_up()
    assert len(inbox.told) == MOST - RESERVE
    clock.forward(WINDOW)
    await notices.catch_up()
    assert inbox.told[-1].items == ("Thing h: 1", "Thing i: 1", "Thing j: 1")
    assert notices.delivery.withheld == 3
    await notices.catch_up()
    assert len(inbox.told) == MOST - RESERVE + 1


async def test_the_next_notice_brings_what_was_held_back(clock: FakeClock, notices: Notices, inbox: Inbox) -> None:
    for name in "abcdefgh":
        await notices.notify(Reply(title=f"Thing {name}"))
    clock.forward(WINDOW)
    await notices.notify(Reply(title="Thing z"))
    assert inbox.titles[-2:] == ["Thing z", "🔕 Notices Held Back"]


async def test_what_is_critical_has_a_reserve(notices: Notices, inbox: Inbox) -> None:
    for name in "abcdefghij":
        await notices.notify(Reply(title=f"Thing {name}"))
    for name in "abcdefghij":
        await notices.notify(Reply(title=f"Failure {name}", tone="error"))
    assert inbox.titles[MOST - RESERVE :] == ["Failure a", "Failure b", "Failure c"]


async def test_a_notice_that_was_held_back_counts_as_not_told(clock: FakeClock, notices: Notices, inbox: Inbox) -> None:
    for name in "abcdefgh":
        await notices.notify(Reply(title=f"Thing {name}"))
    clock.forward(WINDOW)
    await notices.notify(Reply(title="Thing h"))
    assert "Thing h" in inbox.titles


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abcdef"), st.sampled_from(("info", "ok", "error")))))
def test_there_are_never_more_than_ten_in_ten_minutes_and_none_is_lost_unseen(
    calls: list[tuple[int, str, str]],
) -> None:
    clock, sent = FakeClock(), list[float]()
    notices = Notices(clock)

    async def way(reply: Reply) -> None:
        sent.append(clock.monotonic())

    async def tell() -> None:
        notices.offer("direct message", way)
        for seconds, title, tone in calls:
            clock.forward(seconds / 10)
            await notices.notify(Reply(title=title, tone=tone))  # type: ignore[arg-type]  # drawn from the tones

    anyio.run(tell)
    assert all(later - earlier >= WINDOW for earlier, later in zip(sent, sent[MOST:], strict=False))
    delivery = notices.delivery
    assert (
        delivery.delivered.get("direct message", 0) <= len(calls) <= len(sent) + delivery.repeated + delivery.withheld
    )


async def test_a_storm_of_different_notices_takes_no_memory(notices: Notices, clock: FakeClock) -> None:
    for number in range(5_000):
        clock.forward(120)
        await notices.notify(Reply(title=f"Thing {number}"))
    clock.forward(WINDOW)
    for number in range(1_000):
        await notices.notify(Reply(title=f"Other {number}"))
    assert len(notices._alike) <= 200
    assert len(notices._held) <= 21
    assert sum(notices._held.values()) == 1_000 - (MOST - RESERVE)


# -- start and end ------------------------------------------------------------------------------------


def test_the_start_and_the_end_are_told_as_the_older_bot_told_them() -> None:
    started = startup(guilds=3, users=1_200, chain=("blacklist", "rate_limit"), shards=2, problems=("no intent",))
    assert (started.title, started.tone, started.items) == ("Startup Complete", "ok", ("⚠ no intent",))
    assert {field.name: field.value for field in started.fields} == {
        "Status": "Online",
        "Guilds": "3",
        "Users": "1200",
        "Chain": "blacklist → rate_limit",
        "Shards": "2",
    }
    ended = shutting_down(uptime=3_725.4)
    assert (ended.title, ended.tone) == ("Shutting Down", "warn")
    assert {field.name: field.value for field in ended.fields} == {"Status": "Stopping", "Uptime": "1h2m5s"}
    assert shutting_down(uptime=0, restart=True).fields[0].value == "Restarting"
