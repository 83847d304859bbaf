"""Questions that wait for one person's yes, and forms that wait to be filled in.

A question is bound to who asked, where, and what would run; it is answered once, within its time, or never. Modelled on
OWASP's transaction authorisation: a random one-time token, short-lived, spent by its first use, right or wrong.
"""

import hmac
from collections.abc import Callable
from random import Random

from msgspec import Struct, structs

from socbot.dispatch.arguments import Parameter
from socbot.dispatch.commands import Command
from socbot.dispatch.context import Confirm, Context, Handler
from socbot.dispatch.errors import Refused
from socbot.dispatch.messages import Identity, Message
from socbot.dispatch.replies import Form, Input, Question, Reply

LIFETIME = 30.0
"""Seconds in which a question can be answered."""

FORM_LIFETIME = 600.0
"""Seconds in which a form can be filled in."""

MAX_OPEN = 1_000
"""Open questions; past that the oldest is dropped."""

MAX_WRONG_CODES = 3
"""Wrong codes after which a person's open questions are void."""

_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


class Pending(Struct, frozen=True):
    """A question that has not been answered, or a form that has not been filled in.

    :param action: what runs on yes; None for the handler, with what was filled in
    :param code: empty for a form
    :param expires: monotonic
    """

    identity: Identity
    message: Message
    command: Command
    argument_text: str
    arguments: tuple[list[object], dict[str, object]] | None
    action: Handler | None
    code: str
    expires: float

    def is_for(self, message: Message, identity: Identity) -> bool:
        """Whether this is the person's, and asked where ``message`` was written."""
        asked = self.message
        return (self.identity, asked.channel, asked.guild) == (identity, message.channel, message.guild)

    def filled(self, message: Message) -> Message:
        """The command with what ``message`` adds to it."""
        answer = message.answer
        added = {} if answer is None else answer.options
        options = (self.message.options or {}) | added
        return structs.replace(message, text=self.message.text, answer=None, options=options, forms=False,
                               attachments=self.message.attachments)  # fmt: skip


class Confirmations:
    """The open questions, in memory: none survives a restart, and no other process knows them."""

    def __init__(self, monotonic: Callable[[], float], random: Random) -> None:
        self._now, self._random = monotonic, random
        self._open: dict[str, Pending] = {}
        self._wrong: dict[Identity, int] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def ask(self, ctx: Context, confirm: Confirm) -> Reply:
        """The question as a reply."""
        code = "".join(self._random.choice(_CODE_LETTERS) for _ in range(6))
        token = self._keep(ctx, ctx.arguments, confirm.action, code, LIFETIME)
        return Reply(
            confirm.question, tone="warn", question=Question(token, code, LIFETIME), private=ctx.command.private
        )

    def ask_for(self, ctx: Context, lacking: tuple[Parameter, ...]) -> Reply:
        """A form for the arguments that are lacking."""
        token = self._keep(ctx, None, None, "", FORM_LIFETIME)
        inputs = tuple(Input(p.name, p.expected, p.required, p.secret, p.kind in ("rest", "many")) for p in lacking)
        return Reply(form=Form(token, ctx.command.name, inputs, FORM_LIFETIME), private=True)

    def _keep(
        self, ctx: Context, arguments: tuple[list[object], dict[str, object]] | None, action: Handler | None, code: str,
        lifetime: float,
    ) -> str:  # fmt: skip
        self._forget_expired()
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        token = f"{self._random.getrandbits(128):032x}"
        self._open[token] = Pending(
            ctx.identity, ctx.message, ctx.command, ctx.argument_text, arguments, action, code, self._now() + lifetime
        )
        return token

    def answer(self, message: Message, identity: Identity, token: str) -> Pending:
        """Spend the question behind ``token``.

        :raises Refused: if it is not open, or not this person's here
        """
        self._forget_expired()
        pending = self._open.get(token)
        if pending is None:
            raise Refused(
                "no such question", Reply("That question is no longer open. Run the command again.", tone="warn")
            )
        if not pending.is_for(message, identity):
            raise Refused("somebody else's question", Reply("Only whoever was asked can answer.", private=True))
        del self._open[token]
        return pending

    def command(self, token: str) -> Command | None:
        """What the question behind ``token`` is about, if it is open."""
        pending = self._open.get(token)
        return None if pending is None else pending.command

    def typed(self, message: Message, identity: Identity, code: str) -> Pending | None:
        """Spend the question of this person, here, whose code was typed; None if nothing was asked of them here.

        :raises Refused: if the code is wrong
        """
        self._forget_expired()
        own = {
            token: pending
            for token, pending in self._open.items()
            if pending.code and pending.is_for(message, identity)
        }
        if not own:
            return None
        for token, pending in own.items():
            if hmac.compare_digest(pending.code.encode(), code.strip().upper().encode("utf-8", "replace")):
                del self._open[token]
                self._wrong.pop(identity, None)
                return pending
        self._wrong[identity] = self._wrong.get(identity, 0) + 1
        if self._wrong[identity] >= MAX_WRONG_CODES:
            del self._wrong[identity]
            for token in own:
                del self._open[token]
        raise Refused("wrong code", Reply("That is not the code.", tone="warn"))

    def _forget_expired(self) -> None:
        now = self._now()
        for token in [token for token, pending in self._open.items() if pending.expires <= now]:
            del self._open[token]
        if not self._open:
            self._wrong.clear()
