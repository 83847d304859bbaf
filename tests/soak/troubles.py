"""What goes wrong each minute, in an order that the seed gives: reloads, lost connections, and faults of all kinds."""

import signal
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import anyio
import anyio.to_thread

from tests.receiver import Receiver, answer
from tests.soak.crowd import ANSWERS, Crowd
from tests.soak.ledger import Ledger
from tests.soak.process import CHAIN, Program
from tests.standin import Standin

_BROKEN = ("bot: [", "bot: {prefix: 5}", "middleware: [profiler]", "middleware: [no_such_thing]", "a: 1\na: 2\n")
_FEW_LOGINS = 10
"""Each tenth lost connection costs a login: more than three in an hour are made to wait."""


@dataclass
class Troubles:
    """All that can be done to a bot. What was done is counted in ``done``; what it should have borne, in ``failed``.

    :param hold: seconds for which a fault lasts
    """

    standin: Standin
    crowd: Crowd
    program: Program
    receiver: Receiver
    ledger: Ledger
    random: Random
    hold: float
    say: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)
    _megabytes: int = 1
    _chain: tuple[str, ...] = CHAIN

    async def round(self, seconds: float) -> None:
        """One round: a reload, a lost connection and two faults, spread over so many seconds.

        Two, so that each has been there once when the warm-up is over.
        """
        for trouble in (self.reload, self.next_fault, self.lose_the_connection, self.next_fault):
            await self._try(trouble.__name__, trouble)
            await anyio.sleep(seconds / 8)

    async def _try(self, name: str, trouble: Callable[[], Awaitable[None]]) -> None:
        self.ledger.disturbed = True
        before, done = self.program.sample(), Counter(self.done)
        try:
            await trouble()
        except (AssertionError, TimeoutError) as error:
            self.failed.append(f"{name}, {self.program.age:.0f} s: {error}"[:400])
        finally:
            # What was held up is answered before answers count as undisturbed again.
            with anyio.move_on_after(30):
                while self.ledger.waiting > 50:  # noqa: ASYNC110 - it is no event
                    await anyio.sleep(0.1)
            self.ledger.disturbed = False
        what, now = ", ".join(self.done - done) or name, self.program.sample()
        self.say(f"  {now.at / 60:5.1f} min: {what}: {(now.rss - before.rss) / 2**20:+.1f} MiB, {now.fds} descriptors")

    # -- reloads ----------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Another order of the chain, by SIGHUP and by command in turn."""
        by_signal = self.done["a reload by SIGHUP"] <= self.done["a reload by !reload"]
        before, old = await self.crowd.chain()
        while list(self._chain) == old:
            self._chain = tuple(self.random.sample(CHAIN, len(CHAIN)))
        self.program.configure(self._chain, self._megabytes)
        if by_signal:
            self.program.signal(signal.SIGHUP)
        else:
            await self.crowd.ask("!reload")
        with anyio.fail_after(20):
            while (chain := await self.crowd.chain())[0] == before:  # noqa: ASYNC110 - it is no event
                await anyio.sleep(0.2)
        assert tuple(chain[1]) == self._chain, f"{chain[1]} instead of {self._chain}"
        self.done["a reload by SIGHUP" if by_signal else "a reload by !reload"] += 1

    # -- lost connections -----------------------------------------------------------------------------------------

    async def lose_the_connection(self) -> None:
        gateway = self.standin.gateway
        count = sum(each for name, each in self.done.items() if name.startswith("gateway: "))
        ways: dict[str, Callable[[], object]] = {
            "dropped": gateway.drop,
            "op 7": gateway.reconnect,
            "op 9, may resume": lambda: gateway.invalidate(resumable=True),
            "closed with 4000": lambda: gateway.close(4000),
        }
        resumes, identifies = len(gateway.resumes), len(gateway.identifies)
        if count % _FEW_LOGINS == _FEW_LOGINS - 1:
            name = "op 9, new session"
            gateway.invalidate()
            await gateway.identified(identifies + 1, seconds=60)
        else:
            name = list(ways)[count % len(ways)]
            ways[name]()
            await gateway.resumed(resumes + 1, seconds=30)
        await gateway.ready(seconds=30)
        self.done[f"gateway: {name}"] += 1

    # -- faults ---------------------------------------------------------------------------------------------------

    async def next_fault(self) -> None:
        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "a broken config.yaml": self._broken_file,
            "REST answers 500": self._rest_fails,
            "REST answers 429": self._rest_refuses,
            "REST hangs up": self._rest_hangs_up,
            "REST is slow": self._rest_is_slow,
            "heartbeats unanswered": self._no_acks,
            "events sent twice": self._twice,
            "the receiver answers 503": self._receiver_fails,
            "the receiver is gone": self._receiver_is_gone,
            "the store is locked": self._locked_store,
            "a backup": self._backup,
            "the size of the log": self._log_size,
            "the process stands still": self._stopped,
        }
        if not self._waiting:
            self._waiting = self.random.sample(list(faults), len(faults))
        name = self._waiting.pop()
        await faults[name]()
        self.done[name] += 1

    async def _broken_file(self) -> None:
        before = await self.crowd.chain()
        (self.program.folder / "config.yaml").write_text(self.random.choice(_BROKEN))
        try:
            told = await self.crowd.ask("!reload")
            self.program.signal(signal.SIGHUP)
            await anyio.sleep(self.hold)
            assert "Nothing was changed" in told, told
            assert await self.crowd.chain() == before
        finally:
            self.program.configure(self._chain, self._megabytes)

    def _well_again(self) -> None:
        self.standin.limits.clear()
        self.crowd.limit_answers()

    async def _rest_fails(self) -> None:
        self.standin.limits.always(*ANSWERS, self.random.choice((500, 502, 504)))
        await anyio.sleep(self.hold)
        self._well_again()

    async def _rest_refuses(self) -> None:
        for _ in range(3):
            self.standin.limits.refuse(*ANSWERS, retry_after=self.hold / 3, times=8)
            await anyio.sleep(self.hold / 3)
        self._well_again()

    async def _rest_hangs_up(self) -> None:
        for turn in range(10):
            self.standin.limits.hang_up(*ANSWERS, done=bool(turn % 2))
            await anyio.sleep(self.hold / 10)
        self._well_again()

    async def _rest_is_slow(self) -> None:
        self.standin.limits.slow(*ANSWERS, self.hold, times=200)
        await anyio.sleep(self.hold)
        self._well_again()

    async def _no_acks(self) -> None:
        self.standin.gateway.acks = False
        await anyio.sleep(2 * self.hold)
        self.standin.gateway.acks = True

    async def _twice(self) -> None:
        self.standin.gateway.duplicated.add("MESSAGE_CREATE")
        await anyio.sleep(self.hold)
        self.standin.gateway.duplicated.clear()

    async def _receiver_fails(self) -> None:
        self.receiver.on("/hook", answer(503))
        await self._alert()
        await anyio.sleep(self.hold)
        self.receiver.on("/hook", answer(204))

    async def _receiver_is_gone(self) -> None:
        await self.receiver.stop()
        await self._alert()
        await anyio.sleep(self.hold)
        await self.receiver.__aenter__()

    async def _alert(self) -> None:
        title = f"alert-{len(self.alerts)}-of-the-soak"
        self.alerts.append(title)
        await self.crowd.ask(f"!alert high {title}")

    async def _locked_store(self) -> None:
        await anyio.to_thread.run_sync(self._hold_the_store)

    def _hold_the_store(self) -> None:
        import time

        other = sqlite3.connect(self.program.store, isolation_level=None, timeout=30.0)
        try:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(min(2.0, self.hold))
            other.execute("ROLLBACK")
        finally:
            other.close()

    async def _backup(self) -> None:
        told = await self.crowd.ask("!backup_now", seconds=120.0)
        assert "fail" not in told.lower(), told

    async def _log_size(self) -> None:
        self._megabytes = 3 - self._megabytes
        before, _ = await self.crowd.chain()
        self.program.configure(self._chain, self._megabytes)
        await self.crowd.ask("!reload")
        assert (await self.crowd.chain())[0] >= before

    async def _stopped(self) -> None:
        self.program.signal(signal.SIGSTOP)
        await anyio.sleep(min(2.0, self.hold))
        self.program.signal(signal.SIGCONT)
