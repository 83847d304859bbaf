"""From a message to what is shown for it: dispatch, render, deliver, and keep its buttons alive."""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Literal

import anyio
import discord
from msgspec import Struct, structs

from socbot.charts import picture
from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Answer, Message
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Question, Reply
from socbot.systems.errors import Where
from socbot.transports.discord.answering import CLOSED_DMS, UNSENT, Answering, ButtonAnswer, Edit, InteractionAnswer
from socbot.transports.discord.books import Books, Clicked, components, form_modal, jump_modal, question_components
from socbot.transports.discord.host import Host
from socbot.transports.discord.incoming import invoked
from socbot.transports.discord.letters import Letter, modal_of
from socbot.transports.discord.rendering import Page, Rendered, render

SWEEP_INTERVAL = 1.0
"""Seconds between two looks for buttons whose time is over."""

_MOST_ASKED = 1_000
_MOST_VANISHING = 1_000
_TOO_LATE = Reply("It took too long to open the form. Please run the command again.", tone="warn", private=True)
_DONE = Reply.ok("Done.")


class _Asked(Struct):
    """A question that is shown: whose, to which message, and how to show it anew."""

    message: Message
    question: Question
    shown: Letter
    expires: float
    edit: Edit | None = None
    is_over: bool = False


class Responder:
    """Runs messages through the bot, and shows what comes of them.

    :ivar under_way: commands that are not answered yet
    :ivar undelivered: answers that could not be shown to anybody
    """

    def __init__(self, host: Host, clock: Clock, random: Random) -> None:
        self._host, self._clock = host, clock
        self._books = Books(clock, random)
        self._edits: dict[str, Edit] = {}
        self._asked: dict[str, _Asked] = {}
        self._vanishing: deque[tuple[float, discord.PartialMessage]] = deque(maxlen=_MOST_VANISHING)
        self._settled: anyio.Event | None = None
        self.under_way = self.undelivered = 0

    # -- a command and its answer -----------------------------------------------------------------------

    async def respond(self, message: Message, answering: Answering) -> Outcome:
        """Run a message to its end, and show its answer."""

        async def progress(reply: Reply) -> None:
            await answering.progress(_letter(render(reply)), private=reply.private)

        self.under_way += 1
        try:
            outcome = await self._host.dispatcher.dispatch(message, send=progress)
            await self._deliver(outcome, answering)
        finally:
            self._count_down()
        return outcome

    async def respond_in_time(self, message: Message, answering: InteractionAnswer) -> Outcome:
        """The same for an interaction, which is acknowledged meanwhile if it takes longer."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answering.acknowledge)
            outcome = await self.respond(message, answering)
            tasks.cancel_scope.cancel()
        return outcome

    async def settle(self, seconds: float) -> None:
        """Return when everything is answered, or after ``seconds``."""

        async def give_up() -> None:
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            self._settled = anyio.Event()
            if self.under_way:
                await self._settled.wait()
            tasks.cancel_scope.cancel()

    def _count_down(self) -> None:
        self.under_way -= 1
        if not self.under_way and self._settled is not None:
            self._settled.set()

    async def _deliver(self, outcome: Outcome, answering: Answering) -> None:
        """Show the answer. What cannot be shown is an error of its own, and none of the command's."""
        self._host.dispatcher.unanswered += 1
        try:
            if self._holds_a_secret(outcome):
                await self._conceal(outcome, answering)
            await self._show(outcome, answering)
        except UNSENT as error:
            self.undelivered += 1
            if not _is_unreachable(error):
                await self._host.errors.capture(error, _where(outcome))
        finally:
            self._host.dispatcher.unanswered -= 1

    async def _conceal(self, outcome: Outcome, answering: Answering) -> None:
        """Take the message away; that this fails keeps nobody from an answer."""
        try:
            await answering.conceal()
        except discord.NotFound:  # its author was faster
            return
        except UNSENT as error:
            await self._host.errors.capture(error, _where(outcome))

    def _holds_a_secret(self, outcome: Outcome) -> bool:
        """Whether the message is to be taken away; of somebody who is listed nothing is touched."""
        if outcome.command is None or outcome.refused_by == "blacklist" or not self._host.config.discord.delete_secrets:
            return False
        found = self._host.dispatcher.registry.get(outcome.command)
        return found is not None and found.sensitive

    async def _show(self, outcome: Outcome, answering: Answering) -> None:
        reply = outcome.reply
        if reply is None:
            if outcome.status == "ok" and isinstance(answering, InteractionAnswer):
                await answering.finish(_letter(render(_DONE)), private=True)
            else:
                await answering.silence()
            return
        if reply.form is not None:
            if isinstance(answering, InteractionAnswer) and await answering.ask(modal_of(form_modal(reply.form))):
                return
            reply = _TOO_LATE
        rendered = render(reply, await picture(reply.chart) if reply.chart else None)
        if reply.question is not None:
            await self._ask(outcome.message, reply, reply.question, rendered, answering)
        elif len(rendered.pages) > 1:
            await self._open_book(outcome.message, reply, rendered, answering)
        else:
            refused = outcome.status == "refused"
            letter = _letter(rendered)
            await answering.finish(letter, private=reply.private, fleeting=reply.fleeting, secret=not refused)
            if outcome.refused_by == "rate_limit" and reply.private and not reply.fleeting:
                await self._host.rate_limiter.note_told(outcome.identity, answering.way)

    # -- pages ------------------------------------------------------------------------------------------

    async def _open_book(self, message: Message, reply: Reply, rendered: Rendered, answering: Answering) -> None:
        book = self._books.open(message.author.id, rendered)
        letter = structs.replace(_letter(rendered), components=tuple(components(book)))
        self._edits[book.token] = await answering.finish(letter, private=reply.private)

    async def turn(self, interaction: discord.Interaction, custom_id: str, typed: str = "") -> None:
        """Somebody pressed a button beneath pages, or named a page."""
        turn = self._books.turn(custom_id, str(interaction.user.id), typed)
        answer, book = ButtonAnswer(interaction, self._clock), turn.book
        if turn.kind == "jump" and book is not None:
            await answer.ask(modal_of(jump_modal(book)))
        elif turn.kind in ("page", "closed") and book is not None:
            shown = tuple(components(book)) if turn.kind == "page" else ()
            edit = await answer.update(_page(book.page, shown))
            if turn.kind == "closed":
                self._edits.pop(book.token, None)
            else:
                self._edits[book.token] = edit  # a private answer can only be changed by way of the newest press
        else:
            await answer.finish(Letter(turn.text), private=True)

    # -- questions --------------------------------------------------------------------------------------

    async def _ask(
        self, message: Message, reply: Reply, question: Question, rendered: Rendered, answering: Answering
    ) -> None:
        letter = structs.replace(_letter(rendered), components=tuple(question_components(question, tone=reply.tone)))
        asked = _Asked(message, question, letter, self._clock.monotonic() + question.expires_in)
        while len(self._asked) >= _MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[question.token] = asked
        asked.edit = await answering.finish(letter, private=reply.private)
        if asked.is_over:  # before it was known how to show it anew
            await self._regret(asked.edit, _decided(asked, "expired"))

    async def decide(self, interaction: discord.Interaction, pressed: Clicked) -> None:
        """Somebody pressed yes or no."""
        yes = pressed.action == "yes"
        asked = self._asked.get(pressed.token)
        message = invoked(interaction, "", answer=Answer(pressed.token, yes))
        answering = ButtonAnswer(interaction, self._clock)
        if asked is not None and message.identity == asked.message.identity:
            # Asked in a direct message, it is still about where the command was used.
            origin = asked.message
            if message.channel != origin.channel:
                message = structs.replace(message, channel=origin.channel, guild=origin.guild, author=origin.author)
            del self._asked[pressed.token]
            await answering.update(_decided(asked, "yes" if yes else "no"))
        await self.respond_in_time(message, answering)

    # -- what time does to what was shown -------------------------------------------------------------------

    def vanish(self, message: discord.PartialMessage, seconds: float) -> None:
        """Have a message deleted after ``seconds``, if the bot still runs then."""
        self._vanishing.append((self._clock.monotonic() + seconds, message))

    async def sweep(self) -> None:
        """Grey the buttons whose time is over, and delete what was said in passing, for as long as the bot runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._again_and_again, self._grey)
            tasks.start_soon(self._again_and_again, self._delete_passed)

    async def _again_and_again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(SWEEP_INTERVAL)
            await step()

    async def _grey(self) -> None:
        for book in self._books.expired():
            await self._regret(self._edits.pop(book.token, None), _page(book.page, tuple(components(book, True))))
        now = self._clock.monotonic()
        for token in [token for token, asked in self._asked.items() if asked.expires <= now]:
            asked = self._asked.pop(token)
            asked.is_over = True
            await self._regret(asked.edit, _decided(asked, "expired"))

    async def _delete_passed(self) -> None:
        now = self._clock.monotonic()
        passed = [message for due, message in self._vanishing if due <= now]
        self._vanishing = deque(((due, m) for due, m in self._vanishing if due > now), _MOST_VANISHING)
        for message in passed:
            with suppress(*UNSENT):  # deleted meanwhile, or out of reach: it was of no weight
                await message.delete()

    async def _regret(self, edit: Edit | None, letter: Letter) -> None:
        if edit is not None:
            with suppress(*UNSENT):  # deleted meanwhile, or out of reach: there is nothing left to grey
                await edit(letter)


def _letter(rendered: Rendered) -> Letter:
    return structs.replace(_page(rendered.pages[0]), files=rendered.files)


def _page(page: Page, shown: tuple[dict[str, object], ...] = ()) -> Letter:
    return Letter(page.content, page.embed, components=shown)


def _decided(asked: _Asked, state: Literal["yes", "no", "expired"]) -> Letter:
    return structs.replace(asked.shown, components=tuple(question_components(asked.question, state)), files=())


def _where(outcome: Outcome) -> Where:
    message, trace = outcome.message, outcome.trace
    return Where(
        outcome.command or "", *message.identity, message.guild or "", message.channel, trace.id if trace else ""
    )


def _is_unreachable(error: BaseException) -> bool:
    """Whether the person takes no direct messages where there is no other way: nobody's error."""
    return isinstance(error, discord.Forbidden) and error.code == CLOSED_DMS
