"""The courier: takes what waits to the webhooks, in order for each, all of them at once."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from msgspec import Struct

from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Field, Reply, escape, moment
from socbot.storage.database import Database, StoreError
from socbot.systems.audit import Audit
from socbot.systems.webhooks import outbox, schedule
from socbot.systems.webhooks.endpoint import Endpoint
from socbot.systems.webhooks.model import Delivery, DeliveryState
from socbot.systems.webhooks.outbox import Due, Result
from socbot.systems.webhooks.payloads import inert
from socbot.systems.webhooks.schedule import Schedule
from socbot.systems.webhooks.sending import Parcel, Sender, Sent, route, service

EARLY = 300.0
"""Seconds after which something new is a reason to try what failed before its time, if the receiver asked for none."""

LOOK = 30.0
"""Seconds after which the outbox is looked at although nobody said that there is something."""

STORE_AWAY = 5.0
"""Seconds until the next try when the store cannot be used."""

LAST_MOMENT = 0.5
"""Seconds that a request under way has when the courier is stopped, and then what is known of it to be stored."""

EDIT_TRIES = 3

ASKED = "asked to wait"

_log = logging.getLogger(__name__)


class Rules(Struct, frozen=True):
    """:param pause_after: seconds of nothing but failures
    :param longest_wait: seconds; whoever asks for more is reported
    :param digest_after: events that wait for a chat service, beyond which they are sent as one
    """

    schedule: Schedule
    pause_after: float
    longest_wait: float
    digest_after: int


class Ledger:
    """What came of the tries, stored together as fast as the store takes it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._results: list[tuple[Endpoint, Result]] = []
        self._touched: dict[str, Endpoint] = {}
        self._added, self._stored = anyio.Event(), anyio.Event()
        self._writing = anyio.Lock()
        self._number = self._kept = 0

    def add(self, endpoint: Endpoint, results: Iterable[Result]) -> None:
        self._results += [(endpoint, result) for result in results]
        self._touched[endpoint.name] = endpoint
        self._number += 1
        self._added.set()

    async def settled(self) -> None:
        """Return once all that was added is stored."""
        number = self._number
        while self._kept < number:
            await self._stored.wait()

    async def run(self) -> None:
        """Store what is added, until cancelled; while the store is away, wait for it."""
        away = False
        while True:
            await self._added.wait()
            try:
                await self.flush()
                away = False
            except StoreError as error:
                if not away:
                    _log.warning("what was delivered cannot be stored yet: %s", error)
                away = True
                await self._clock.sleep(STORE_AWAY)

    async def flush(self) -> None:
        """
        :raises StoreError: if it could not be stored; it is kept for the next time
        """
        async with self._writing:
            number, results, touched = self._number, self._results, self._touched
            self._results, self._touched, self._added = [], {}, anyio.Event()
            written = [(endpoint.name, endpoint.type, result) for endpoint, result in results]
            rows = [endpoint.row for endpoint in touched.values()]
            try:
                grown = await self._database.write(lambda connection: outbox.record(connection, written, rows))
            except BaseException:  # a shutdown too: what is known is stored a moment later
                self._results[:0], self._touched = results, touched | self._touched
                self._added.set()
                raise
        _count(results, grown)
        self._kept = number
        self._stored.set()
        self._stored = anyio.Event()


def _count(results: Sequence[tuple[Endpoint, Result]], grown: Mapping[str, int]) -> None:
    for endpoint, result in results:
        if result.state != "waiting":
            endpoint.waiting -= 1
            endpoint.dead += result.state == "dead"
    for endpoint in {id(endpoint): endpoint for endpoint, _ in results}.values():
        endpoint.waiting = max(0, endpoint.waiting + grown.get(endpoint.name, 0))


class Pause(Struct, frozen=True):
    """How long nothing is to be sent; ``blocked`` if what newly waits does not change that."""

    seconds: float
    blocked: bool = False


class Group(Struct, frozen=True):
    """Deliveries that one request is for; ``edits`` is the message that it changes."""

    dues: tuple[Due, ...]
    edits: str = ""

    @property
    def head(self) -> Delivery:
        return self.dues[0].delivery

    @property
    def parcel(self) -> Parcel:
        head = self.head
        return Parcel(tuple(each.delivery.event for each in self.dues), head.message_id or head.event.id, self.edits)


class Courier:
    """Sends what waits: for each webhook in order, one request at a time; no webhook waits for another.

    :param tell: takes a notice to the owner
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sender: Sender,
        random: Random,
        rules: Callable[[], Rules],
        tell: Callable[[Reply], Awaitable[None]],
        audit: Audit | None = None,
    ) -> None:
        self._database, self._clock, self._sender, self._random = database, clock, sender, random
        self._rules, self._tell, self._audit = rules, tell, audit
        self._ledger = Ledger(database, clock)
        self._more = anyio.Event()

    def look(self) -> None:
        """There are other webhooks than there were."""
        self._more.set()

    async def run(self, endpoints: Callable[[], Mapping[str, Endpoint]]) -> None:
        """Serve all webhooks until cancelled, those that are added meanwhile too.

        Cancelled, it lets requests that are under way end within a moment, and stores what is known of them.
        """
        served: set[Endpoint] = set()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._ledger.run)
                try:
                    await self._keep_serving(tasks, endpoints, served)
                finally:
                    _hurry(served)
        finally:
            for endpoint in served:
                endpoint.scope = None
            await self._store_last()

    async def _keep_serving(
        self, tasks: TaskGroup, endpoints: Callable[[], Mapping[str, Endpoint]], served: set[Endpoint]
    ) -> None:
        while True:
            self._more = anyio.Event()
            for endpoint in endpoints().values():
                if endpoint not in served:
                    served.add(endpoint)
                    endpoint.scope = anyio.CancelScope()
                    tasks.start_soon(self._serve, endpoint, served)
            await self._more.wait()

    async def _store_last(self) -> None:
        with anyio.move_on_after(LAST_MOMENT, shield=True):
            try:
                await self._ledger.flush()
            except StoreError as error:
                _log.warning("what was delivered last could not be stored, and will be sent again: %s", error)

    async def _serve(self, endpoint: Endpoint, served: set[Endpoint]) -> None:
        assert endpoint.scope is not None
        with endpoint.scope:
            while True:
                endpoint.poked, endpoint.changed = anyio.Event(), anyio.Event()
                pause = await self._contained(endpoint) if endpoint.works else Pause(inf, blocked=True)
                await self._ledger.settled()
                if endpoint.news is not None:
                    news, endpoint.news = endpoint.news, None
                    await self._tell(news)
                await self._rest(endpoint, pause)
        served.discard(endpoint)
        self._more.set()  # it may be wanted again already

    async def _rest(self, endpoint: Endpoint, pause: Pause) -> None:
        """Return when the pause is over, or when there is a reason not to wait for that."""
        async with anyio.create_task_group() as tasks:
            if pause.seconds < inf:
                tasks.start_soon(self._ring, min(pause.seconds, LOOK), tasks.cancel_scope)
            # What newly waits behind something that must be waited for changes nothing.
            await (endpoint.changed if pause.blocked else endpoint.poked).wait()
            tasks.cancel_scope.cancel()

    async def _ring(self, seconds: float, scope: anyio.CancelScope) -> None:
        await self._clock.sleep(seconds)
        scope.cancel()

    # -- one round ------------------------------------------------------------------------------------

    async def _contained(self, endpoint: Endpoint) -> Pause:
        try:
            return await self._round(endpoint)
        except Exception:  # whatever is wrong with one webhook, the others go on
            _log.exception("webhook %s: a round of deliveries failed", endpoint.name)
            return Pause(LOOK, blocked=True)

    async def _round(self, endpoint: Endpoint) -> Pause:
        """Send what can be sent now; how long to wait then."""
        now = self._clock.time()
        try:
            found, later = await self._database.read(lambda connection: outbox.due(connection, endpoint.name, now))
        except StoreError as error:
            _log.warning("the outbox cannot be read: %s", error)
            return Pause(STORE_AWAY, blocked=True)
        shortest = LOOK if later is None else max(0.05, later - now)
        delivered = False
        for group in grouped(endpoint, found, self._rules().digest_after):
            pause = self._pause(endpoint, group, found)
            if pause > 0 and group.edits:
                shortest = min(shortest, pause)
                continue
            if pause > 0 or not endpoint.works:
                return Pause(max(pause, 0.05), blocked=True)
            delivered = await self._deliver(endpoint, group)
            if not delivered and not group.edits:
                return Pause(0.0)
        return Pause(0.0 if delivered and len(found) == outbox.BATCH else shortest)

    def _pause(self, endpoint: Endpoint, group: Group, found: Sequence[Due]) -> float:
        """Seconds until it may be sent."""
        parcel = group.parcel
        now = self._clock.monotonic()
        gate = self._sender.gates.wait(route(endpoint, parcel), service(endpoint))
        shut = max(gate, endpoint.open_at - now)
        head = group.head
        if not head.attempts and not head.reason:
            return shut
        known = endpoint.due.get(head.id)
        wait = known - now if known is not None else head.next_at - self._clock.time()
        if wait > 0 and head.reason != ASKED and any(each.delivery.at > (head.last_at or 0) for each in found):
            wait = min(wait, endpoint.last_try + EARLY - now)
        return max(shut, wait)

    async def _deliver(self, endpoint: Endpoint, group: Group) -> bool:
        """Send it once, and take note of what follows from that; whether it was taken."""
        await checkpoint_if_cancelled()  # what follows is shielded: once the bot ends, nothing new may begin
        early = endpoint.due.get(group.head.id, 0.0) > self._clock.monotonic()
        sent = None
        with anyio.CancelScope(shield=True) as endpoint.sending:
            sent = await self._sender.send(endpoint, group.parcel)
        if sent is None:  # the bot ends, and did not get an answer in time
            await checkpoint()
            return False
        endpoint.last_try = self._clock.monotonic()
        if endpoint.row.rate:
            endpoint.open_at = endpoint.last_try + 1 / endpoint.row.rate
        if not sent.attempt.delivered:
            await schedule.prepare()
        self._conclude(endpoint, group, sent, early)
        return sent.attempt.delivered

    # -- what follows from an answer ------------------------------------------------------------------

    def _conclude(self, endpoint: Endpoint, group: Group, sent: Sent, early: bool) -> None:
        now, attempt = self._clock.time(), sent.attempt
        answer = f"{attempt.status} {attempt.answer}".strip() if attempt.status else attempt.answer
        if attempt.delivered:
            endpoint.change(sent=endpoint.row.sent + 1, failing_since=None, last_at=now, last_answer=answer)
            self._ledger.add(endpoint, self._taken(endpoint, group, sent, now))
            return
        endpoint.change(failed=endpoint.row.failed + 1, last_at=now, last_answer=answer)
        if group.edits:
            self._ledger.add(endpoint, [self._unedited(endpoint, group, sent, now)])
            return
        if endpoint.row.failing_since is None:
            endpoint.change(failing_since=now)
            endpoint.failing_from = self._clock.monotonic()
        self._ledger.add(endpoint, self._failed(endpoint, group, sent, now, early))
        self._consider(endpoint, sent, answer, now)

    def _taken(self, endpoint: Endpoint, group: Group, sent: Sent, now: float) -> Iterator[Result]:
        editable = sent.message_id if len(group.dues) == 1 else ""
        for each in group.dues:
            endpoint.due.pop(each.delivery.id, None)
            more = {} if endpoint.type == "custom" else {"message_id": editable}
            yield _result(each, sent, "delivered", now, **more)

    def _failed(self, endpoint: Endpoint, group: Group, sent: Sent, now: float, early: bool) -> Iterator[Result]:
        wait = self._wait(group.head, sent, now, early)
        for each in group.dues:
            tries = each.delivery.attempts + (0 if early or _was_asked(sent) else 1)
            spent = tries >= self._rules().schedule.tries
            if sent.verdict.meaning == "never" or (spent and not _was_asked(sent)) or wait is None:
                endpoint.due.pop(each.delivery.id, None)
                yield _result(each, sent, "dead", now, attempts=tries, reason=_epitaph(sent, tries))
            else:
                due = max(endpoint.due.get(each.delivery.id, 0.0), self._clock.monotonic() + wait)
                endpoint.due[each.delivery.id] = due
                reason = ASKED if sent.verdict.wait else ""
                next_at = now + due - self._clock.monotonic()
                yield _result(each, sent, "waiting", now, attempts=tries, next_at=next_at, reason=reason)

    def _wait(self, head: Delivery, sent: Sent, now: float, early: bool) -> float | None:
        """Seconds to the next try; None if there is to be none. What the receiver asks for takes precedence."""
        if sent.verdict.wait:
            return sent.verdict.wait * self._random.uniform(1.0, 1.05)
        if early:
            return 0.0
        return self._rules().schedule.after(head.attempts + 1, now - head.at)

    def _unedited(self, endpoint: Endpoint, group: Group, sent: Sent, now: float) -> Result:
        """The message is there; only what it counts is old. That is worth a few tries, and nobody's attention."""
        tries = group.head.attempts + 1
        (due,) = group.dues
        if sent.verdict.meaning == "never" or tries >= EDIT_TRIES:
            reason = "its count could not be brought up to date"
            return _result(due, sent, "delivered", now, attempts=tries, message_id="", reason=reason)
        wait = max(sent.verdict.wait * 1.05, 10.0 * tries)
        endpoint.due[due.delivery.id] = self._clock.monotonic() + wait
        return _result(due, sent, "waiting", now, attempts=tries, next_at=now + wait)

    def _consider(self, endpoint: Endpoint, sent: Sent, answer: str, now: float) -> None:
        """Pause a webhook that is no more, or does not work any more; have its owner told."""
        rules, failing = self._rules(), self._failing(endpoint, now)
        if sent.verdict.gone:
            self._pause_it(endpoint, f"it is no more: {answer}")
        elif failing >= rules.pause_after:
            self._pause_it(endpoint, f"nothing but failures for {Duration(round(failing))}, at last: {answer}")
        elif sent.verdict.wait > rules.longest_wait and not endpoint.parked:
            endpoint.parked = True
            endpoint.news = _parked(endpoint, now + sent.verdict.wait)

    def _failing(self, endpoint: Endpoint, now: float) -> float:
        """Seconds since the failures began; by the clock that never steps, unless that was before this start."""
        if endpoint.failing_from is not None:
            return self._clock.monotonic() - endpoint.failing_from
        return now - (endpoint.row.failing_since or now)

    def _pause_it(self, endpoint: Endpoint, reason: str) -> None:
        endpoint.change(state="paused", state_reason=reason)
        endpoint.news = _paused(endpoint, reason)
        if self._audit is not None:
            self._audit.remember("pause", f"webhook {endpoint.name}, {reason}", "webhooks")


def _result(due: Due, sent: Sent, state: DeliveryState, now: float, **more: Any) -> Result:
    before, attempt = due.delivery, sent.attempt
    usual: dict[str, Any] = {"attempts": before.attempts + 1, "message_id": before.message_id}
    return Result(before.id, due.raw, state, now, status=attempt.status, answer=attempt.answer, **usual | more)


def _was_asked(sent: Sent) -> bool:
    """Whether it failed for nothing but too many requests, with a time for the next: that is no try."""
    return sent.verdict.limited and sent.verdict.wait > 0


def _epitaph(sent: Sent, tries: int) -> str:
    if sent.verdict.meaning == "again":
        return f"{tries} tries failed"
    return f"refused for good: {sent.attempt.status}" if sent.attempt.status else "it must not or cannot be sent there"


def _paused(endpoint: Endpoint, reason: str) -> Reply:
    name = escape(endpoint.name, 60)
    fields = (
        Field("Webhook", name),
        Field("Type", endpoint.type),
        Field("Waiting", str(endpoint.waiting)),
        Field("Reason", inert(reason)[:1_000], inline=False),
    )
    text = (
        f"Nothing more is sent to it; what is for it waits. `test_webhook {name}` tries it, and revives it if it works."
    )
    return Reply(text, "⚠️ Webhook Paused", fields, tone="error", private=True)


def _parked(endpoint: Endpoint, until: float) -> Reply:
    name = escape(endpoint.name, 60)
    fields = (Field("Webhook", name), Field("Waiting", str(endpoint.waiting)), Field("Until", moment(until)))
    text = f"It asks for no requests until then, and what is for it waits. `test_webhook {name}` tries it before."
    return Reply(text, "⚠️ Webhook Parked", fields, tone="warn", private=True)


def _hurry(endpoints: Iterable[Endpoint]) -> None:
    for endpoint in endpoints:
        if endpoint.sending is not None:
            endpoint.sending.deadline = anyio.current_time() + LAST_MOMENT


def grouped(endpoint: Endpoint, found: Sequence[Due], digest_after: int) -> list[Group]:
    """What is sent together: each alone, unless so much waits for people that they are better told at once."""
    edits = [each for each in found if endpoint.type == "discord" and each.delivery.message_id]
    rest = [each for each in found if each not in edits] if edits else list(found)
    singles = endpoint.type == "custom" or len(rest) <= digest_after
    parts = [(each,) for each in rest] if singles else _drills_apart(rest)
    return [Group((each,), each.delivery.message_id) for each in edits] + [Group(part) for part in parts]


def _drills_apart(dues: Sequence[Due]) -> list[tuple[Due, ...]]:
    parts = (tuple(each for each in dues if (each.delivery.event.kind == "drill") is drill) for drill in (False, True))
    return [part for part in parts if part]
