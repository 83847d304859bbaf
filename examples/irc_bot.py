"""socbot with its whole chain on IRC, by pydle: python irc_bot.py config.yaml irc.example.org 6697 socbot '#ops'

Owners are written ``irc:ACCOUNT`` in config.yaml, and are known by their account with the network's services: the
network has to tag messages with it (IRCv3 ``account-tag``). Everybody else is a nickname, which may change hands.
"""

import argparse
import logging
import re
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, tzinfo

import anyio
import pydle
from pydle.features.ircv3.tags import TaggedMessage
from pydle.features.rfc1459.parsing import normalize

from socbot import Bot, Message, Outcome, Reply, User
from socbot.dispatch.replies import printable

LINE = 400  # bytes of text: with the sender's mask and the target, a line stays below IRC's 512
MOST_LINES = 25
BURST, PACE = 4, 0.5  # lines sent at once, then seconds between two: servers throw out whoever floods them
MOST_WAITING = 20  # replies that wait to be sent; beyond that nobody is answered, rather than everybody late
_FORMATTING = re.compile(r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]")

_log = logging.getLogger("irc_bot")


def read(line: TaggedMessage, nickname: str, network: str) -> Message:
    """What a PRIVMSG says.

    Without an account the author is known by a nickname, which changes hands; socbot writes such an id ``~nick`` and
    never takes it for the account of that name.

    :param nickname: the bot's own
    """
    nick, target, text = line.source.partition("!")[0], line.params[0], line.params[1]
    account, event = line.tags.get("account"), line.tags.get("msgid")
    identified = isinstance(account, str)
    private = normalize(target) == normalize(nickname)
    return Message(
        _FORMATTING.sub("", text).strip(),
        User(account.lower() if identified else normalize(nick), nick),
        "irc",
        channel=nick if private else normalize(target),
        guild=None if private else network,
        id=event if isinstance(event, str) else None,
        stable_ids=identified,
    )


def written(reply: Reply, zone: tzinfo = UTC) -> Iterator[str]:
    """The lines that show ``reply``: none too long, none empty, nothing in them that IRC or a terminal would obey."""
    text = reply.plain(zone)
    parts = (printable(part, "") for part in text.split("\n"))
    lines = [line for part in parts for line in Reply(part).chunks(LINE, unit="bytes") if line.strip()]
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"… and {len(lines) - MOST_LINES} more lines"


class IrcClient(pydle.Client):  # type: ignore[misc]  # pydle ships no types
    """Takes what is said on IRC to a bot, and its answers back."""

    RECONNECT_MAX_ATTEMPTS = None

    def __init__(self, bot: Bot, nickname: str, channels: tuple[str, ...]) -> None:
        super().__init__(nickname, fallback_nicknames=[nickname + "_", nickname + "__"])
        self._bot, self._home = bot, channels
        self._turn = anyio.Lock()
        self._sent: list[float] = []

    async def on_connect(self) -> None:
        await super().on_connect()
        for channel in self._home:
            await self.join(channel)

    async def on_disconnect(self, expected: bool) -> None:
        """Connect again, later each time; pydle gives up at the first attempt that fails."""
        while True:
            try:
                await super().on_disconnect(expected)
            except OSError as error:
                _log.warning("not connected: %s", error)
            else:
                return

    async def on_raw_privmsg(self, message: TaggedMessage) -> None:
        """Hand over what is said; whoever runs a slow command keeps nobody else waiting."""
        await super().on_raw_privmsg(message)
        if self.is_same_nick(message.source.partition("!")[0], self.nickname):
            return
        said = read(message, self.nickname, self.network or "irc")

        async def answer(outcome: Outcome) -> None:
            if outcome.reply is not None:
                await self.show(outcome.reply, said)

        async def progress(reply: Reply) -> None:
            await self.show(reply, said)

        at_once = self._bot.submit(said, answer, send=progress)
        if at_once is not None:
            await answer(at_once)

    async def show(self, reply: Reply, said: Message) -> None:
        """Answer where it was asked; what is private, to the person alone."""
        if self._turn.statistics().tasks_waiting >= MOST_WAITING:
            _log.warning("too many replies wait to be sent; one was dropped")
            return
        command, target = ("NOTICE", said.author.name) if reply.private else ("PRIVMSG", said.channel)
        async with self._turn:
            for line in written(reply, self._bot.zone):
                await self._pace()
                if self.connected:
                    await self.rawmsg(command, target, line)

    async def leave(self) -> None:
        """Say goodbye once everybody who waits has been answered."""
        with anyio.move_on_after(10):
            async with self._turn:
                if self.connected:
                    await self.quit("Goodbye")

    async def _pace(self) -> None:
        if len(self._sent) >= BURST:
            await anyio.sleep(max(0.0, self._sent.pop(0) + BURST * PACE - anyio.current_time()))
        self._sent.append(anyio.current_time())


async def serve(config: str, host: str, port: int, nickname: str, channels: tuple[str, ...], *, tls: bool) -> int:
    """Be on IRC until SIGTERM, SIGINT, or the owner's ``!shutdown``; the exit code."""
    async with Bot.from_config(config) as bot, anyio.create_task_group() as tasks:
        client = IrcClient(bot, nickname, channels)
        tasks.start_soon(_obey_signals, bot)
        await client.connect(host, port, tls=tls, tls_verify=True)
        await bot.lifecycle.stopping.wait()
        await bot.drain()
        await client.leave()
        tasks.cancel_scope.cancel()
    return bot.lifecycle.exit_code


async def _obey_signals(bot: Bot) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            bot.lifecycle.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="socbot on IRC")
    parser.add_argument("config")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("nickname")
    parser.add_argument("channels", nargs="*")
    parser.add_argument("--plain", action="store_true", help="without TLS, on a server of your own")
    given = parser.parse_args()
    channels = tuple(given.channels)
    logging.basicConfig(level=logging.WARNING)

    async def run() -> int:
        return await serve(given.config, given.host, given.port, given.nickname, channels, tls=not given.plain)

    sys.exit(anyio.run(run))


if __name__ == "__main__":
    main()
