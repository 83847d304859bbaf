"""The console: everything can be tried with no account, by a person or through a pipe.

Each line is a message of the owner. Lines that begin with a slash are the console's own: they change who speaks.
"""

import codecs
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import tzinfo
from typing import TextIO, TypeAlias

import anyio

from socbot.dispatch.messages import Answer, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Question, Reply, plain, printable
from socbot.transports.block_charts import chart_text

Run: TypeAlias = Callable[[Message], Awaitable[Outcome]]

PLATFORM = "console"
OWNER = "owner"

_TONES = {"ok": "green", "warn": "yellow", "error": "red", "info": "cyan"}
_HELP = """/as ID        speak as user ID, a stranger to the bot; /as owner goes back
/admin on|off whether that user is an administrator of the guild
/guild ID     speak in guild ID; /dm speaks in a direct message
/help  /quit"""


class Speaker:
    """Who speaks on the console, and where."""

    def __init__(self, user: str = OWNER, guild: str | None = "console") -> None:
        self.user, self.guild, self.admin = user, guild, False

    def says(self, text: str, answer: Answer | None = None) -> Message:
        user = User(self.user, self.user, is_admin=self.admin and self.guild is not None)
        return Message(text, user, PLATFORM, "console", self.guild, answer=answer)

    def obey(self, line: str) -> str:
        """Do what a console's own line says; what is shown for it."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "/as" and rest and rest.isprintable() and len(rest) <= 64:
            self.user, self.admin = rest, False
        elif word == "/admin" and rest in ("on", "off"):
            self.admin = rest == "on"
        elif word == "/guild" and rest and rest.isprintable() and len(rest) <= 64:
            self.guild = rest
        elif word == "/dm":
            self.guild = None
        else:
            return _HELP
        where = "in a direct message" if self.guild is None else f"in guild {self.guild}"
        return f"You are {self.user}{' (administrator)' if self.admin else ''}, {where}."


class Console:
    """Shows replies to a person with colour, to a pipe as plain text.

    :param zone: in which moments are shown
    """

    def __init__(self, zone: tzinfo, output: TextIO | None = None) -> None:
        self._zone = zone
        self._output = output or sys.stdout
        self._rich = self._output.isatty()

    async def show(self, reply: Reply) -> None:
        if self._rich:
            self._show_rich(reply)
        else:
            self.write(to_text(reply, self._zone))

    def write(self, text: str) -> None:
        """Write text that holds nothing a terminal would obey."""
        print(printable(text), file=self._output, flush=True)

    def _show_rich(self, reply: Reply) -> None:
        from rich.console import Console as RichConsole
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        body = Table.grid(padding=(0, 2))
        body.add_column(no_wrap=True, style="bold")
        body.add_column()
        grid = Table.grid()
        for line in (reply.text, *reply.items):
            if line:
                grid.add_row(Text(printable(_unmarked(plain(line, self._zone)))))
        for field in reply.fields:
            body.add_row(Text(printable(field.name)), Text(printable(_unmarked(plain(field.value, self._zone)))))
        if reply.fields:
            grid.add_row(body)
        if reply.chart:
            grid.add_row(Text(chart_text(reply.chart)))
        for file in reply.files:
            grid.add_row(Text(f"📎 {printable(file.name)}, {len(file.content)} bytes"))
        title = Text(printable(_unmarked(reply.title))) if reply.title else None
        panel = Panel(grid, title=title, title_align="left", border_style=_TONES[reply.tone], expand=False)
        RichConsole(file=self._output, highlight=False).print(panel)


def to_text(reply: Reply, zone: tzinfo) -> str:
    """A reply as plain lines, its chart drawn with characters."""
    text = _unmarked(reply.plain(zone))
    return f"{text}\n{chart_text(reply.chart)}".strip() if reply.chart else text


def _unmarked(text: str) -> str:
    return text.replace("`", "").replace("**", "")


async def lines_of(stream: TextIO) -> AsyncIterator[str]:
    """The lines of ``stream``, as they come; no thread is left reading when the wait for the next one is cancelled."""
    mode = os.fstat(stream.fileno()).st_mode
    if os.name == "nt" or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()):
        # What cannot be waited for is read on a thread; a regular file, or /dev/null, keeps nobody waiting.
        while line := await anyio.to_thread.run_sync(stream.readline, abandon_on_cancel=True):
            yield line.rstrip("\r\n")
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while True:
        await anyio.wait_readable(stream.fileno())
        read = os.read(stream.fileno(), 65_536)
        *lines, rest = (rest + decoder.decode(read, final=not read)).split("\n")
        for line in lines:
            yield line.rstrip("\r")
        if not read:
            if rest:
                yield rest
            return


async def converse(
    console: Console, run: Run, prefix: str, ended: Callable[[], bool], stream: TextIO | None = None
) -> None:
    """Take lines until there are no more, each a message, each answered before the next is read.

    :param run: ``bot.dispatch``, with ``send`` bound to the console
    :param ended: whether the bot has been told to end, so that what follows is not for it
    """
    stream = stream or sys.stdin
    speaker, question = Speaker(), None
    interactive = stream.isatty()
    if interactive:
        console.write(f"Type {prefix}help, or /help for the console's own lines; Ctrl-D ends.")
    _prompt(speaker, interactive)
    async for line in lines_of(stream):
        if line.strip() in ("/quit", "/exit"):
            return
        if line.startswith("/"):
            console.write(speaker.obey(line.strip()))
        else:
            question = await _say(console, run, speaker, line, question)
        if ended():
            return
        _prompt(speaker, interactive, question)


async def _say(console: Console, run: Run, speaker: Speaker, line: str, question: Question | None) -> Question | None:
    if question is not None and line.strip().lower() in ("y", "yes", "n", "no"):
        message = speaker.says("", Answer(question.token, line.strip().lower().startswith("y")))
    else:
        message = speaker.says(line)
    outcome = await run(message)
    if outcome.reply is not None:
        reply = outcome.reply
        await console.show(_asking(reply) if reply.question else reply)
        return reply.question
    if outcome.status == "refused" and outcome.trace is not None:
        console.write(f"(no answer: refused by {outcome.refused_by}; the owner can ask !why {outcome.trace.id})")
    return None


def _asking(reply: Reply) -> Reply:
    assert reply.question is not None
    return Reply(f"{reply.text} (y/n, within {reply.question.expires_in:.0f} s)", reply.title, tone=reply.tone)


def _prompt(speaker: Speaker, interactive: bool, question: Question | None = None) -> None:
    if interactive:
        with suppress(BrokenPipeError):
            print(f"{speaker.user}{'?' if question else '>'} ", end="", flush=True)
