"""The dispatcher: a message in, exactly one outcome out. Knows no platform, no database, no config file."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from socbot.dispatch.arguments import MAX_LENGTH
from socbot.dispatch.chain import Chain, Layer
from socbot.dispatch.clock import Clock, SystemClock
from socbot.dispatch.commands import Command, Permission, Registry, command
from socbot.dispatch.confirmations import Confirmations, Pending
from socbot.dispatch.context import Confirm, Context, Send
from socbot.dispatch.current import current
from socbot.dispatch.deadlines import GRACE, Waiting, on_asyncio, passes_through, within_on_asyncio, within_on_trio
from socbot.dispatch.errors import (
    Busy,
    CommandTimeout,
    InvalidArgument,
    MessageTooLong,
    NotPermitted,
    OnCooldown,
    Refused,
    UnknownCommand,
    UserError,
    describe,
)
from socbot.dispatch.messages import Identity, Message
from socbot.dispatch.outcomes import Outcome, Status, Trace
from socbot.dispatch.replies import Reply
from socbot.dispatch.tasks import leave

Observer: TypeAlias = Callable[[Outcome], None]
Done: TypeAlias = Callable[[Outcome], Awaitable[None]]

OWNER_RESERVE = 16
"""Runs beyond the bound that are kept for the owner, who must be able to stop a flood."""

UNANSWERED = 8
"""Answers that may wait for a platform, for each command that may run: some 10 KB each on Discord."""

_REMEMBERED = 8_192
"""Message ids remembered, twice over, so that an event which is delivered twice runs once."""

_TOLD = 60.0
"""Seconds until the same person is told again, in the same channel, that a command is unknown."""

_FEW_TOLD, _MOST_TOLD = 500, 10_000
"""Those who were told lately: so many are kept without a look at who may be told again, and no more than so many."""

_log = logging.getLogger("socbot.dispatch")


class Ledger(Protocol):
    """Keeps on record what became of the commands that are not for everybody."""

    def note(self, outcome: Outcome, command: Command | None, arguments: str) -> int | None:
        """Take down how a command ended; None for the command where an answer to no open question was refused.

        :param arguments: as they were given, secrets too
        :returns: a number, where the answer has to wait for ``settle``
        """

    async def settle(self, number: int, outcome: Outcome) -> Outcome:
        """Return ``outcome``, with a word more in its reply if need be, once what was noted of it is on the disk.

        It ends within a bounded time whatever the disk does, and raises nothing of its own.
        """


class Dispatcher:
    """Runs commands through the chain.

    Use it as it is (``await dispatcher.dispatch(message)``), or as an async context manager, which gives ``submit``
    and ``drain``. Its first command settles whether it runs on asyncio or on trio.

    :param owners: who may use owner commands, as (platform, immutable id); nobody, if there is none
    :param prefixes: what a command begins with: the first that fits counts, the first of all is shown in answers
    :param systems: what handlers may ask for by annotation
    :param timeout: seconds a command may take, unless it says otherwise
    :param max_running: commands under way at once; beyond that a command is refused, never queued
    :ivar unanswered: commands that have ended and whose answers a transport is still showing, which it counts here
    """

    def __init__(
        self,
        commands: Iterable[Command] = (),
        *,
        chain: Sequence[Layer] = (),
        owners: Iterable[Identity] = (),
        prefixes: Sequence[str] = ("!",),
        systems: Iterable[object] = (),
        timeout: float = 30.0,
        max_running: int = 256,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        if not prefixes or not all(prefixes):
            raise ValueError(f"prefixes: {prefixes!r} must be one or more non-empty strings")
        self.registry = Registry()
        self.owners = frozenset(owners)
        self.prefixes = tuple(prefixes)
        self.timeout = timeout
        self.max_running = max_running
        self.running = 0
        self.unanswered = 0
        self._telling = 0
        self.closed: Reply | None = None
        self._draining = False
        self.maintenance: Reply | None = None
        self.ledger: Ledger | None = None
        self._clock: Clock = clock or SystemClock()
        self._now = self._clock.monotonic
        random = random or SystemRandom()
        self._confirmations = Confirmations(self._now, random)
        self._trace_prefix = "".join(random.choice("23456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(5))
        self._traces = 0
        self._systems: dict[type, object] = {}
        self._injected: dict[Command, tuple[object, ...]] = {}
        self._observers: list[Observer] = []
        self._recent: set[tuple[str, str]] = set()
        self._previous: set[tuple[str, str]] = set()
        self._told: dict[tuple[Identity, str], float] = {}
        self._tidy_at = _FEW_TOLD
        self._told_busy = 0.0
        self._cooldowns: dict[tuple[str, Identity], float] = {}
        self._sweep_at = 10_000
        self._slots: dict[tuple[str, object], int] = {}
        self._waiting = Waiting()
        self._on_asyncio: bool | None = None
        self._ended: anyio.Event | None = None
        self._tasks: TaskGroup | None = None
        self._unknown = command("unknown", permission="public", metered=False)(self._answer_unknown)
        self._too_long = command("too_long", permission="public", metered=False)(_answer_too_long)
        for system in systems:
            self.provide(system)
        for each in commands:
            self.add(each)
        self._chain = Chain(chain, self._handle, self._now, 1 if chain else 0)

    # -- arranging it ---------------------------------------------------------------------------------

    def provide(self, *systems: object, under: type | None = None) -> None:
        """Make systems available to handlers, by their type and the types they are subclasses of.

        :param under: a protocol that they fulfil, to be found by that too
        """
        for system in systems:
            for base in (*type(system).__mro__[:-1], *((under,) if under else ())):
                self._systems.setdefault(base, system)

    def add(self, *commands: Command) -> None:
        """Register commands.

        :raises ValueError: if a name is taken
        :raises TypeError: if a handler asks for a system that was not provided
        """
        for each in commands:
            missing = [name for name, kind in each.signature.injected.items() if kind not in self._systems]
            if missing:
                wanted = each.signature.injected[missing[0]].__name__
                raise TypeError(
                    f"command {each.name!r}: parameter {missing[0]!r} needs a {wanted}, which was not provided; "
                    f"pass it with provide(…) or Dispatcher(systems=[…]), or annotate it with an argument type"
                )
            self.registry.add(each)
            self._injected[each] = tuple(self._systems[kind] for kind in each.signature.injected.values())

    def command(
        self, name: str, *, permission: Permission = "owner", **options: Any
    ) -> Callable[[Callable[..., Awaitable[Any]]], Command]:
        """Register the decorated function; the same as ``add(command(name, …)(function))``."""

        def make(handler: Callable[..., Awaitable[Any]]) -> Command:
            made = command(name, permission=permission, **options)(handler)
            self.add(made)
            return made

        return make

    @property
    def chain(self) -> Chain:
        return self._chain

    def use(self, chain: Sequence[Layer]) -> Chain:
        """Make ``chain`` the next generation; what is under way ends on the one it began on.

        :raises ValueError: if two layers have one name; then nothing changes
        """
        new = Chain(chain, self._handle, self._now, self._chain.generation + 1)
        self._chain = new
        return new

    def observe(self, observer: Observer) -> None:
        """Have ``observer`` called with each outcome, at once and on the loop: it must not block."""
        self._observers.append(observer)

    # -- running commands -----------------------------------------------------------------------------

    async def dispatch(self, message: Message, *, send: Send | None = None) -> Outcome:
        """Run one message to its end.

        :param send: where ``ctx.send`` shows progress; without it that is found in the outcome
        """
        admitted = self._admit(message, send)
        return admitted if isinstance(admitted, Outcome) else await self._run(admitted)

    def submit(self, message: Message, done: Done | None = None, *, send: Send | None = None) -> Outcome | None:
        """Run one message without waiting for it.

        Returns None when it was taken: ``done`` gets its outcome. Returns the outcome at once, without calling
        ``done``, when there was nothing to run: no command, or refused at the door.

        :raises RuntimeError: outside of ``async with dispatcher``
        """
        if self._tasks is None:
            raise RuntimeError("submit() needs a running dispatcher: use it inside `async with dispatcher:`")
        admitted = self._admit(message, send)
        if isinstance(admitted, Outcome):
            return admitted
        self._tasks.start_soon(self._run_and_tell, admitted, done)
        return None

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let what is under way end; cancel and answer what is left after ``seconds``.

        What was submitted has ended when its ``done`` has returned. One that hangs is not waited for beyond that, and
        not cancelled.
        """
        if not self._draining:
            self._draining = True
            self.closed = Reply("The bot is shutting down.", tone="warn")
        await self._quiet(seconds, self._is_busy)
        self._waiting.expire()
        await self._quiet(3 * GRACE, self._is_busy)

    def _is_busy(self) -> bool:
        return self.running > 0 or self._telling > 0

    @asynccontextmanager
    async def held(self, told: Reply, seconds: float, but: int = 0) -> AsyncIterator[None]:
        """Take nothing new within the block; enter it when what was under way has ended, or after ``seconds``.

        :param told: what everybody is answered meanwhile
        :param but: how many commands are not waited for, such as the one that asks for it
        """
        if self.closed is None:
            self.closed = told
        try:
            await self._quiet(seconds, lambda: self.running > but)
            yield
        finally:
            if self.closed is told:
                self.closed = None

    async def _quiet(self, seconds: float, is_busy: Callable[[], bool]) -> None:
        """Return when nothing is busy any more, or after ``seconds``."""

        async def give_up() -> None:
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            while is_busy():
                if self._ended is None or self._ended.is_set():  # others may wait for it too
                    self._ended = anyio.Event()
                await self._ended.wait()
            tasks.cancel_scope.cancel()

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        try:
            return await leave(self._tasks, kind, error, traceback)
        finally:
            self._tasks = None

    # -- from a message to a command ------------------------------------------------------------------

    def _admit(self, message: Message, send: Send | None) -> Context | Outcome:
        """Everything that is decided without waiting: is it a command, whose, and is there room for it."""
        author = message.author
        if author.is_bot or message.edited:
            return Outcome("ignored", message)
        text = message.text
        for prefix in self.prefixes:
            if text.startswith(prefix):
                break
        else:
            if message.answer is None and not (self._confirmations and text[:8].lower() == "confirm "):
                return Outcome("ignored", message)
            prefix = ""
        if message.id is not None and self._seen((message.platform, message.id)):
            return Outcome("ignored", message, reason="delivered twice")
        identity = message.identity
        found: Command | None
        is_owner = identity in self.owners and message.stable_ids
        if len(text) > MAX_LENGTH:
            if not self._may_tell((identity, message.channel)):
                return self._tell(Outcome("invalid", message, reason="message"))
            found, name, rest = self._too_long, "", ""
        elif not prefix:
            return self._answered(message, identity, is_owner, send)
        else:
            found, name, rest = self.registry.find(text[len(prefix) :])
        if found is None:
            if not name[:1].isalnum():
                return Outcome("ignored", message)
            if not self._may_tell((identity, message.channel)):
                return self._tell(Outcome("unknown", message))
            found, rest = self._unknown, name
        if self.closed is not None or (
            (self.unanswered or self.running >= self.max_running) and not self._has_room(is_owner)
        ):
            return self._turned_away(message, found)
        return self._context(message, found, identity, is_owner, name, rest, send)

    @property
    def most_unanswered(self) -> int:
        """Answers that may wait for a platform; beyond that a command is refused as if it were one too many."""
        return UNANSWERED * self.max_running

    def _has_room(self, is_owner: bool) -> bool:
        reserve = OWNER_RESERVE if is_owner else 0
        return self.running < self.max_running + reserve and self.unanswered < self.most_unanswered + reserve

    def _context(
        self, message: Message, found: Command, identity: Identity, is_owner: bool, name: str, rest: str,
        send: Send | None,
    ) -> Context:  # fmt: skip
        self.running += 1
        self._traces += 1
        chain = self._chain
        times = [0.0] * chain.marks
        trace = Trace(chain.stages, chain.generation, self._trace_prefix, self._traces, self._clock.time(), times)
        return Context(message, found, trace, chain.run, identity, is_owner, name, self.prefixes[0], rest, send)

    def _answered(self, message: Message, identity: Identity, is_owner: bool, send: Send | None) -> Context | Outcome:
        """The yes or no to a question that was asked."""
        answer = message.answer
        try:
            pending: Pending | None
            if answer is not None:
                pending = self._confirmations.answer(message, identity, answer.token)
            else:
                pending = self._confirmations.typed(message, identity, message.text[8:])
        except Refused as error:
            refused = Outcome("refused", message, None, error.told, refused_by="confirmation", reason=error.reason)
            asked = None if answer is None else self._confirmations.command(answer.token)
            if self.ledger is not None and (asked is None or asked.permission != "public"):
                self._note(self.ledger, refused, asked, "")
            return self._tell(refused)
        if pending is None:
            return Outcome("ignored", message)
        if answer is not None and not answer.yes:
            return self._tell(
                Outcome("ok", message, pending.command.name, Reply("Nothing was done."), reason="declined")
            )
        if self.closed is not None:
            return self._turned_away(message, pending.command)
        if pending.action is None:
            message = pending.filled(message)
        ctx = self._context(
            message, pending.command, identity, is_owner, pending.command.name, pending.argument_text, send
        )
        if pending.arguments is not None:
            ctx.arguments = pending.arguments
        ctx.action = pending.action
        ctx.asked = pending.message
        ctx.confirmed = True
        return ctx

    def _seen(self, key: tuple[str, str]) -> bool:
        if key in self._recent or key in self._previous:
            return True
        self._recent.add(key)
        if len(self._recent) >= _REMEMBERED:
            self._previous, self._recent = self._recent, set()
        return False

    def _may_tell(self, key: tuple[Identity, str]) -> bool:
        now = self._now()
        if now < self._told.get(key, 0.0):
            return False
        if len(self._told) >= self._tidy_at:
            self._told = {key: until for key, until in self._told.items() if until > now}
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._tidy_at = max(_FEW_TOLD, min(_MOST_TOLD, 2 * len(self._told)))
        self._told[key] = now + _TOLD
        return True

    @property
    def _reason(self) -> str:
        """Why nothing is taken."""
        return "shutting down" if self._draining else "held"

    def _turned_away(self, message: Message, found: Command) -> Outcome:
        name = self._name(found)
        if self.closed is not None:
            return self._tell(
                Outcome("refused", message, name, self.closed, refused_by="admission", reason=self._reason)
            )
        now = self._now()
        # A flood is not answered with a flood, nor is anything added to answers that do not get through.
        told = now >= self._told_busy and self.unanswered < self.most_unanswered
        if told:
            self._told_busy = now + 1.0
        return self._tell(
            Outcome("refused", message, name, Busy("bot", told).told, refused_by="admission", reason="busy")
        )

    # -- running a command ----------------------------------------------------------------------------

    async def _run_and_tell(self, ctx: Context, done: Done | None) -> None:
        outcome = await self._run(ctx)
        if done is not None:
            self._telling += 1
            try:
                await done(outcome)
            except Exception:  # the host's callback: what it breaks must not end the dispatcher's task group
                _log.exception("the callback of %s failed", ctx)
            finally:
                self._telling -= 1
                if self._ended is not None:
                    self._ended.set()

    async def _run(self, ctx: Context) -> Outcome:
        started = self._now()
        seconds = ctx.command.timeout or self.timeout
        if self._on_asyncio is None:
            self._on_asyncio = on_asyncio()  # asked once: it is a system call on Python 3.11
        within = within_on_asyncio if self._on_asyncio else within_on_trio
        reply: Reply | None = None
        outer = current.get()
        current.set(ctx)
        try:
            reply = await within(ctx, ctx.enter(ctx), seconds, self._waiting)
        except BaseException as error:
            if passes_through(error):
                ctx.error = error
                outcome = self._finish(ctx, None, started)
                if self.ledger is not None and ctx.command.permission != "public":
                    self._note(self.ledger, outcome, ctx.command, ctx.given)
                self._tell(outcome)
                raise
            timed_out = not isinstance(error, Exception) or isinstance(error, CommandTimeout)
            ctx.error = self._ended_early(ctx, error) if timed_out else error
            reply = self._answer_to(ctx.error)
        else:
            if ctx.expired and ctx.error is None:
                ctx.error = self._ended_early(ctx)
                reply = self._answer_to(ctx.error)
        finally:
            # An ended command may stay: whoever looks sees that it has ended, and setting takes longer than that.
            if outer is not None and not outer.ended:
                current.set(outer)
        outcome = self._finish(ctx, reply, started)
        if self.ledger is not None and ctx.command.permission != "public":
            outcome = await self._recorded(ctx, outcome, self.ledger)
        return self._tell(outcome)

    async def _recorded(self, ctx: Context, outcome: Outcome, ledger: Ledger) -> Outcome:
        """Have what became of the command on record before it is answered."""
        number = self._note(ledger, outcome, ctx.command, ctx.given)
        if number is None:
            return outcome
        self.running += 1  # it is still under way: who drains waits for it
        try:
            return await ledger.settle(number, outcome)
        except BaseException:
            self._tell(outcome)
            raise
        finally:
            self.running -= 1
            if self._ended is not None:
                self._ended.set()

    def _note(self, ledger: Ledger, outcome: Outcome, command: Command | None, arguments: str) -> int | None:
        try:
            return ledger.note(outcome, command, arguments)
        except Exception:  # the ledger is not part of the command, which was run and has to be answered
            _log.exception("what became of %s could not be noted", outcome.command)
            return None

    def _finish(self, ctx: Context, reply: Reply | None, started: float) -> Outcome:
        self.running -= 1
        if self._ended is not None:
            self._ended.set()
        ctx.ended = True
        if ctx.slot is not None:
            self._release(ctx.slot)
        error, failure = ctx.error, ctx.failure
        status: Status = "ok"
        reason = None
        if failure is not None:
            status, reason, error = "failed", type(failure.error).__name__, failure.error
        elif error is not None:
            status, reason = _status(error)
            if status in ("invalid", "unknown"):
                ctx.refused_by = None
        return Outcome(
            status,
            ctx.message,
            self._name(ctx.command),
            reply,
            ctx.refused_by if status == "refused" else None,
            reason,
            None if failure is None else failure.error_id,
            error,
            ctx.trace,
            self._now() - started,
            tuple(ctx.progress) if ctx.progress else (),
            tuple(ctx.faults) if ctx.faults else (),
        )

    def _name(self, found: Command) -> str | None:
        return None if found is self._unknown or found is self._too_long else found.name

    def _tell(self, outcome: Outcome) -> Outcome:
        for observer in self._observers:
            try:
                observer(outcome)
            except BaseException as error:  # an observer is not part of the command: the others still have to be told
                if isinstance(error, KeyboardInterrupt):
                    raise
                _log.exception("observer %r failed", observer)
        return outcome

    async def _handle(self, ctx: Context) -> Reply | None:
        """The end of the chain: may they, with these arguments, now? Then the handler."""
        times = ctx.trace.times
        times[-2] = self._now()
        try:
            if ctx.ended:
                raise RuntimeError("the command had ended before its handler was reached")
            found = ctx.command
            if found.permission != "public" or self.maintenance is not None:
                self._permit(ctx)
            systems = self._injected.get(found, ())  # none for the dispatcher's own answer to what is no command
            plain = not found.signature.parameters and (not ctx.argument_text or found not in self._injected)
            if ctx.message.forms and (lacking := found.signature.lacking(ctx.message.options or {})):
                ctx.reply = form = self._confirmations.ask_for(ctx, lacking)
                times[-1] = self._now()
                return form
            arguments, flags = _NO_ARGUMENTS if plain else ctx.arguments
            if found.concurrency is not None or found.cooldown:
                self._claim(ctx)
            ctx.trace.handler_reached = True
            if ctx.action is not None:
                result: object = await ctx.action(ctx)
            else:
                result = await found.handler(ctx, *systems, *arguments, **flags)
            if ctx.expired:
                raise self._ended_early(ctx)
            ctx.reply = reply = self._as_reply(ctx, result)
            times[-1] = self._now()
            return reply
        except BaseException as error:
            times[-1] = self._now()
            if not ctx.trace.handler_reached:
                times[-2] = 0.0
            raised = self._judge(ctx, error)
            if raised is error:
                raise
            raise raised from error

    def _judge(self, ctx: Context, error: BaseException) -> BaseException:
        """What ended the handler, as the chain is to see it."""
        if passes_through(error):
            ctx.held_by = ctx.held_by or "handler"
            if not ctx.expired:
                return error
            error = self._ended_early(ctx)
        elif not isinstance(error, Exception):
            error = RuntimeError(f"the handler raised {type(error).__name__}, which is not an Exception")
        elif isinstance(error, Refused):
            ctx.refused_by = _DISPATCHERS_OWN.get(type(error), "handler")
        ctx.error = error
        return error

    def _ended_early(self, ctx: Context, error: BaseException | None = None) -> Exception:
        if isinstance(error, CommandTimeout) and (error is ctx.error or error.abandoned):
            return error
        if self.closed is not None:
            ctx.refused_by = "shutdown"
            return Refused(self._reason, self.closed)
        held_by = ctx.held_by or ("handler" if ctx.trace.handler_reached else ctx.trace.innermost)
        return CommandTimeout(ctx.command.timeout or self.timeout, held_by)

    def _permit(self, ctx: Context) -> None:
        needed = ctx.command.permission
        if ctx.is_owner:
            return
        if self.maintenance is not None:
            raise Maintenance(self.maintenance)
        if needed == "public":
            return
        if needed != "admin":
            raise NotPermitted("the owner")
        if not ctx.is_admin:
            raise NotPermitted("an administrator of this guild")

    def _claim(self, ctx: Context) -> None:
        """Take what the command's own limits allow; a slot is held until the command ends."""
        found, slot = ctx.command, None
        if found.concurrency is not None:
            scopes = {"user": ctx.identity, "guild": (ctx.message.platform, ctx.message.guild), "global": None}
            slot = (found.name, scopes[found.concurrency.per])
            if self._slots.get(slot, 0) >= found.concurrency.limit:
                raise Busy("bot" if found.concurrency.per == "global" else found.concurrency.per)
        if found.cooldown and not ctx.confirmed:
            self._cool_down((found.name, ctx.identity), found.cooldown)
        if slot is not None:
            self._slots[slot] = self._slots.get(slot, 0) + 1
            ctx.slot = slot

    def _release(self, slot: tuple[str, object]) -> None:
        self._slots[slot] -= 1
        if not self._slots[slot]:
            del self._slots[slot]

    def _cool_down(self, key: tuple[str, Identity], seconds: float) -> None:
        now = self._now()
        until = self._cooldowns.get(key, 0.0)
        if now < until:
            raise OnCooldown(until - now)
        if len(self._cooldowns) >= self._sweep_at:
            self._cooldowns = {key: until for key, until in self._cooldowns.items() if until > now}
            self._sweep_at = max(10_000, 2 * len(self._cooldowns))
        self._cooldowns[key] = now + seconds

    def _answer_to(self, error: BaseException) -> Reply | None:
        if isinstance(error, UserError):
            try:
                return error.reply()
            except Exception:  # somebody else's subclass: what its text breaks must not escape
                _log.exception("%s has no reply", type(error).__name__)
        if isinstance(error, CommandTimeout):
            return self.closed or Reply.error(f"That took longer than {error.seconds:g} s and was ended.")
        return Reply.error("That failed.")

    async def _answer_unknown(self, ctx: Context) -> Reply:
        near = self.registry.nearest(ctx.argument_text)
        raise UnknownCommand(ctx.argument_text, tuple(ctx.prefix + name for name in near))

    def _as_reply(self, ctx: Context, result: object) -> Reply | None:
        if result is None or isinstance(result, Reply):
            return _private(result) if ctx.command.private and result is not None else result
        if isinstance(result, str):
            return Reply(result, private=ctx.command.private)
        if isinstance(result, Confirm):
            return self._confirmations.ask(ctx, result)
        kind = type(result).__name__
        raise TypeError(f"the handler of {ctx.command.name!r} returned {kind}; a Reply, str, Confirm or None is due")


class Maintenance(Refused):
    """The bot is being worked on; only its owner may use it."""

    def __init__(self, told: Reply) -> None:
        super().__init__("maintenance", told)


_NO_ARGUMENTS: tuple[list[object], dict[str, object]] = ([], {})

_DISPATCHERS_OWN: dict[type[Refused], str] = {
    NotPermitted: "permission",
    OnCooldown: "cooldown",
    Busy: "concurrency",
    Maintenance: "maintenance",
}


async def _answer_too_long(ctx: Context) -> Reply:
    raise MessageTooLong(MAX_LENGTH)


def _status(error: BaseException) -> tuple[Status, str]:
    if isinstance(error, Refused):
        return "refused", error.reason
    if isinstance(error, UnknownCommand):
        return "unknown", error.name
    if isinstance(error, InvalidArgument):
        return "invalid", error.argument
    if isinstance(error, UserError):
        return "invalid", describe(error)
    return "failed", type(error).__name__


def _private(reply: Reply) -> Reply:
    return reply if reply.private else structs.replace(reply, private=True)
