"""``socbot run``: a bot with its transport, its signals and its log, until it is asked to end."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from socbot.bot import Bot
from socbot.config import Loaded
from socbot.dispatch.messages import Message
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply, printable
from socbot.dispatch.tasks import leave
from socbot.documents import ConfigError
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK
from socbot.jobs.job import CriticalJobFailed
from socbot.logs import logging_to, structlog_to_log, uncaught_to_log
from socbot.remarks import on_privacy
from socbot.storage.errors import StoreUnreachable
from socbot.systems.access import FIRST
from socbot.transports.base import Transport, TransportRefused
from socbot.transports.console import OWNER, PLATFORM, Console, converse
from socbot.watchdog import Watchdog

if TYPE_CHECKING:
    from socbot.web import Web

E = TypeVar("E", bound=Exception)

_log = logging.getLogger("soc_bot")

SWITCH_INTERVAL = 0.001
"""Seconds for which one thread keeps another from running Python. Probes and pages are answered on a thread of their
own, which gives up its turn at each read and write: with Python's own 5 ms it starves beside a loop that has no rest.
"""

_WATCH_INTERVAL = 2.0
_LAST_RESORT = 10.0
_ANSWER_TIMEOUT = 2.0


async def run(loaded: Loaded, *, on_discord: bool = False) -> int:
    """Run the bot on the console, or on Discord, until it is asked to end; the exit code.

    :raises ConfigError, StoreError: if it cannot start
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Before anything watches the loop: importing discord.py takes longer than it may stand still.
    connect = _discord_transport() if on_discord else _console_transport
    own = [] if on_discord else [(PLATFORM, OWNER)]
    bot = Bot(loaded, owners=own, identities=[(PLATFORM, "socbot")])
    with ExitStack() as stack:
        log = stack.enter_context(logging_to(loaded.config.logs, bot.redactor))
        stack.enter_context(uncaught_to_log())
        for remark in on_privacy(loaded):
            _log.warning("%s: %s", remark.text, remark.mend)
            print(f"socbot: warning: {printable(remark.text)}: {printable(remark.mend)}", file=sys.stderr)

        def started() -> None:
            bot.logs.attach(log)
            stack.enter_context(structlog_to_log())

        failure, code = "", EXIT_FAILURE
        unusable: ConfigError | StoreUnreachable | None = None
        try:
            return await _serve(bot, loaded, connect, started)
        except* CriticalJobFailed as failed:
            failure = "; ".join(str(error) for error in failed.exceptions)
        except* TransportRefused as refused:
            first = next(_each(refused))
            failure, code = first.text, first.exit_code
            _log.error("%s", failure)
        except* ConfigError as wrong:
            unusable = next(_each(wrong))
        except* StoreUnreachable as lost:
            unusable = next(_each(lost))
            _log.error("%s", unusable)
    if unusable is not None:
        raise unusable
    print(f"socbot: {printable(failure)}", file=sys.stderr)
    return code


def _each(group: ExceptionGroup[E]) -> Iterator[E]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _each(error)
        else:
            yield error


async def _serve(bot: Bot, loaded: Loaded, connect: Callable[[Bot], Transport], started: Callable[[], None]) -> int:
    async with _Orders(bot, loaded.config.bot.shutdown_timeout) as orders:
        with orders.starting:
            await _run_until_stopped(bot, loaded, connect, started, orders)
    return EXIT_OK if orders.starting.cancelled_caught else bot.lifecycle.exit_code


async def _run_until_stopped(
    bot: Bot, loaded: Loaded, connect: Callable[[Bot], Transport], started: Callable[[], None], orders: "_Orders"
) -> None:
    watchdog = watchdog_of(bot)
    async with bot, watchdog, anyio.create_task_group() as tasks:
        started()
        if bot.config.web.enabled:
            bot.access.require_token()
        transport = connect(bot)
        have_watched(bot, watchdog)
        orders.take(transport, watchdog, tasks)
        if loaded.path is not None and loaded.config.bot.watch_config:
            tasks.start_soon(_watch, bot, transport, watchdog, str(loaded.path))
        # What the start made stays: without this the collector looks at all of it again and again, and the loop waits.
        gc.collect()
        gc.freeze()
        _log.info("started: %s", " → ".join(stage.name for stage in bot.dispatcher.chain.stages))
        if bot.config.web.enabled:
            tasks.start_soon(_show, bot)
        tasks.start_soon(_talk, bot, transport)
        await bot.lifecycle.stopping.wait()
        watchdog.stopping()
        _log.info("stopping, exit code %d", bot.lifecycle.exit_code)
        _exit_at_last(loaded.config.bot.shutdown_timeout + _LAST_RESORT)
        with orders.draining:
            await bot.drain()
        await transport.close()
        tasks.cancel_scope.cancel()


def watchdog_of(bot: Bot) -> Watchdog:
    """What watches the loop of ``bot``, and tells its health of stalls."""
    return Watchdog(lambda stall: bot.health.note_stall(stall.where, stall.stack))


def have_watched(bot: Bot, watchdog: Watchdog) -> None:
    """Have ``bot``, once both run, go by what ``watchdog`` sees."""
    bot.vitals.loop_lag, bot.vitals.worst_lag = watchdog.lag, watchdog.worst
    bot.vitals.stalls = lambda: watchdog.stalls
    bot.health.liveness.overdue = lambda: watchdog.stalled


async def _show(bot: Bot) -> None:
    """Serve the dashboard, and say where it is and, once, what opens it."""
    # The bot answers meanwhile: loading what it is made of takes several times as long as a bot takes to start.
    web = await anyio.to_thread.run_sync(_dashboard)
    gc.freeze()
    async with web(bot) as served:
        say = Console(bot.zone).write
        if served.failure:
            say(f"⚠ The dashboard is not to be seen: {served.failure}. It is tried again by itself.")
        else:
            say(f"The dashboard is at {bot.links.base}")
        token = await bot.access.first_token()
        if token is not None:
            say(f"Its token, which is shown this once: {token}")
            if link := bot.links.sign_in(bot.access.ticket(FIRST)):
                say(f"A link that signs in once, within five minutes: {link}")
        await anyio.sleep_forever()


def _dashboard() -> "type[Web]":
    from socbot.web import Web

    return Web


def _discord_transport() -> Callable[[Bot], Transport]:
    from socbot.transports.discord.transport import DiscordTransport

    def connect(bot: Bot) -> Transport:
        say = Console(bot.zone).write
        say(f"{bot.config.bot.name} connects to Discord; the log is {bot.config.logs.file}.")
        return DiscordTransport(bot, say)

    return connect


def _console_transport(bot: Bot) -> Transport:
    console = Console(bot.zone)
    bot.on_notice(console.show)
    return ConsoleTransport(bot, console)


async def _talk(bot: Bot, transport: Transport) -> None:
    await transport.run()
    bot.lifecycle.stop()


class ConsoleTransport:
    """The bot on the console."""

    def __init__(self, bot: Bot, console: Console) -> None:
        self._bot, self._console = bot, console
        self._answering, self._ended = False, anyio.Event()
        self.tell = console.show

    async def run(self) -> None:
        bot, console = self._bot, self._console
        _greet(bot, console)

        async def dispatch(message: Message) -> Outcome:
            self._answering = True
            return await bot.dispatch(message, send=console.show)

        def answered() -> bool:
            self._answering = False
            return bot.lifecycle.stopping.is_set()

        await converse(console, dispatch, bot.config.bot.prefix, answered)
        self._ended.set()

    async def close(self) -> None:
        """Let the answer to the last line be shown."""
        if self._answering:
            with anyio.move_on_after(_ANSWER_TIMEOUT):
                await self._ended.wait()


def _exit_at_last(seconds: float) -> None:
    """End the process whatever still holds it then, such as a job that hangs in its own cleaning up."""
    timer = threading.Timer(seconds, os._exit, (EXIT_FAILURE,))
    timer.daemon = True
    timer.start()


def _greet(bot: Bot, console: Console) -> None:
    if not sys.stdin.isatty():
        return
    name, prefix = bot.config.bot.name, bot.config.bot.prefix
    chain = " → ".join(stage.name for stage in bot.dispatcher.chain.stages)
    console.write(f"{name} is running on the console, with no account. The chain: {chain}.")
    for finding in bot.pipeline.findings:
        console.write(f"⚠ {finding.text}")
    for problem in bot.settings.problems:
        console.write(f"⚠ {problem}")
    console.write(f"You are its owner; try {prefix}help, or /as 42 to speak as a stranger.")


class _Orders:
    """What signals ask for: SIGTERM and SIGINT end the bot, a second one at once; SIGHUP reloads config.yaml.

    They are obeyed from before the start on: a start that is told to end is given up.

    :param seconds: what a start that cannot be given up at once, as in the midst of a migration, has to end by itself
    :ivar starting: what is given up
    :ivar draining: what a second signal cuts short
    """

    def __init__(self, bot: Bot, seconds: float) -> None:
        self._bot, self._seconds = bot, seconds
        self.starting, self.draining = anyio.CancelScope(), anyio.CancelScope()
        self._running: tuple[Transport, Watchdog, TaskGroup] | None = None
        self._reloading = anyio.Lock()

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        await self._tasks.start(self._obey)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await leave(self._tasks, kind, error, traceback)

    def take(self, transport: Transport, watchdog: Watchdog, tasks: TaskGroup) -> None:
        """The bot runs from now on."""
        self._running = (transport, watchdog, tasks)

    async def _obey(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        if os.name == "nt":  # event loops take no signals there; Ctrl-C interrupts the program as it always does
            task_status.started()
            return
        hangup = getattr(signal, "SIGHUP", None)
        wanted = [signal.SIGINT, signal.SIGTERM] + ([hangup] if hangup is not None else [])
        with anyio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for number in signals:
                if number == hangup:
                    self._reload()
                else:
                    await self._end()

    def _reload(self) -> None:
        if self._running is not None:  # a bot that starts has read its configuration just now
            transport, watchdog, tasks = self._running
            tasks.start_soon(self._reload_and_tell, transport, watchdog)

    async def _reload_and_tell(self, transport: Transport, watchdog: Watchdog) -> None:
        async with self._reloading:
            await transport.tell(await _reload(self._bot, watchdog, "signal SIGHUP"))

    async def _end(self) -> None:
        if self._running is None:
            if self.starting.cancel_called:
                os._exit(EXIT_FAILURE)
            _log.info("told to end before it had started")
            _exit_at_last(self._seconds)
            self.starting.cancel()
        elif self._bot.lifecycle.stopping.is_set():
            self.draining.cancel()
            await self._bot.drain(0.0)
        else:
            self._bot.lifecycle.stop()


async def _reload(bot: Bot, watchdog: Watchdog, by: str) -> Reply:
    watchdog.reloading()
    try:
        changes = await bot.reload()
    except ConfigError as error:
        _log.warning("config.yaml was not put in force: %s", error)
        await bot.audit.record("reload", str(error), by, "invalid")
        return Reply.error(f"Nothing was changed. {error}")
    finally:
        watchdog.reloaded()
    _log.info("reloaded, generation %d: %s", bot.pipeline.generation, "; ".join(changes) or "no change")
    await bot.audit.record("reload", "; ".join(changes) or "no change", by)
    return Reply(f"Reloaded, generation {bot.pipeline.generation}.", items=changes, tone="ok")


async def _watch(bot: Bot, transport: Transport, watchdog: Watchdog, path: str) -> None:
    """Reload when the file's time of change moves on and the file then stays as it is."""
    seen = _stamp(path)
    while True:
        await anyio.sleep(_WATCH_INTERVAL)
        stamp = _stamp(path)
        if stamp != seen:
            await anyio.sleep(0.2)  # an editor may still be writing
            if _stamp(path) == stamp:
                seen = stamp
                await transport.tell(await _reload(bot, watchdog, "bot.watch_config"))


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size)
