"""The tour on Discord: the one list of its calls, typed as text or chosen as a slash command's options."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import structs

from socbot.dispatch.arguments import Signature
from socbot.dispatch.commands import Command
from socbot.dispatch.outcomes import Outcome
from socbot.transports.discord.slash import Slash
from socbot.transports.discord.slash_options import (
    ATTACHMENT,
    BOOLEAN,
    DETAILS,
    INTEGER,
    JSON,
    NUMBER,
    offered,
    options_of,
)
from tests.standin import Message, Person
from tests.standin.people import Value
from tests.tour import THE_OWNER, Call, Names, message
from tests.transports.discord.conversation import Scene

Options: TypeAlias = dict[str, str]
"""Arguments by the names of their parameters, as somebody would type them."""


@dataclass(slots=True)
class Stop:
    """What became of one call: how it ended, what was shown for it, and what all could read meanwhile."""

    text: str
    outcomes: list[Outcome] = field(default_factory=list)
    shown: list[Message] = field(default_factory=list)
    public: list[Message] = field(default_factory=list)

    @property
    def status(self) -> str:
        return "; ".join(f"{outcome.status} {outcome.reply}" for outcome in self.outcomes if outcome.status != "ok")


class Guide:
    """Takes somebody through calls, by text or by slash, and answers each question with yes."""

    def __init__(self, scene: Scene, who: Person | None = None) -> None:
        self.scene, self.who = scene, who or scene.owner
        self.registry = scene.bot.dispatcher.registry
        self._slash = Slash(self.registry)
        self._outcomes: list[Outcome] = []
        for id in ("900", "901"):  # whom calls are about
            scene.standin.world.add(Person(id, f"user {id}", world=scene.standin.world))
        scene.bot.dispatcher.observe(self._note)

    def _note(self, outcome: Outcome) -> None:
        if outcome.message.platform == "discord":  # the bot asks itself whether it is well
            self._outcomes.append(outcome)

    async def by_text(self, call: Call, names: Names) -> Stop:
        text = message(call, names).text
        files = {file.name: file.content or b"" for file in call.attachments}

        async def ask() -> Message:
            shown = await self._to_its_end(self.scene.says(text, self.who, files=files))
            return shown if not self._is_private() or self.who.dm.messages == [] else self.who.dm.messages[-1]

        return await self._visit(text, ask)

    async def by_slash(self, call: Call, names: Names) -> Stop:
        command, options = self.taken_apart(call, names)
        files = [(file.name, file.content or b"") for file in call.attachments]
        return await self.choose(command, options, files)

    async def choose(self, command: Command, options: Options, files: list[tuple[str, bytes]]) -> Stop:
        """Use a slash command, and fill in the form that it may answer with."""
        path, values = self._slash.path_of(command), self.values(command, options, files)
        secrets = {each.name: options[each.name] for each in command.parameters if each.secret and each.name in options}

        async def use() -> Message:
            used = await self.who.slash(path, in_=self.scene.place, **values)
            answer = await used.answer(seconds=15)
            if answer.modal:
                answer = await (await self.who.submits(answer, **secrets)).answer(seconds=15)
            return answer.message

        return await self._visit(f"/{path} {options}", lambda: self._to_its_end(use()))

    def taken_apart(self, call: Call, names: Names) -> tuple[Command, Options]:
        """The command of a call, and its arguments by name."""
        command, _, rest = self.registry.find(message(call, names).text[1:])
        assert command is not None, call
        return command, arguments(command, rest, call)

    def values(self, command: Command, options: Options, files: list[tuple[str, bytes]]) -> dict[str, Value]:
        """The arguments as Discord's options take them."""
        given: dict[str, Value] = {}
        kinds = {option["name"]: option for option in options_of(command, DETAILS[0])}
        left = list(files)
        for name, parameter in offered(command).items():
            if kinds[name]["type"] == ATTACHMENT and left:
                given[name] = left.pop(0)
            elif parameter.name in options:
                given[name] = _value(kinds[name], options[parameter.name])
        return given

    async def _visit(self, text: str, ask: Callable[[], Awaitable[Message]]) -> Stop:
        place, ended = self.scene.place, len(self._outcomes)
        stop, began = Stop(text), len(place.messages)
        stop.shown.append(await ask())
        if "Yes" in stop.shown[-1].buttons:
            stop.shown.append(await self._agree(stop.shown[-1]))
        stop.outcomes = [each for each in self._outcomes[ended:] if each.reply is None or each.reply.form is None]
        stop.public = [each for each in place.messages[began:] if each.by_bot]
        return stop

    async def _agree(self, question: Message) -> Message:
        async def agree() -> Message:
            used = (await self.who.clicks(question, "Yes")).interaction
            await self.scene.standin.until(lambda: used.followups, what="what comes of a yes")
            return used.followups[0]

        return await self._to_its_end(agree())

    async def _to_its_end(self, asking: Awaitable[Message]) -> Message:
        """What is shown, once the command has ended: before that it may be its progress."""
        ended = len(self._outcomes)
        shown = await asking
        await self.scene.standin.until(lambda: len(self._outcomes) > ended, what="the command's end")
        return shown

    def _is_private(self) -> bool:
        reply = self._outcomes[-1].reply
        return reply is not None and reply.private and not reply.fleeting


def arguments(command: Command, line: str, call: Call) -> Options:
    """The arguments of a line by name, as they were typed: the parser's own division of it."""
    as_typed = [structs.replace(each, parse=lambda text, message: text, default=None) for each in command.parameters]
    asked = structs.replace(message(call, Names("", "", "")), author=THE_OWNER)
    values, flags = Signature(tuple(as_typed), {}).bind(line, asked)
    given: Options = {name: "on" for name, is_set in flags.items() if is_set}
    for each in as_typed:
        if each.kind == "many":
            given |= {each.name: " ".join(map(str, values))} if values else {}
        elif each.kind != "flag" and isinstance(value := values.pop(0), str):
            given[each.name] = value
    return given


def _value(option: JSON, text: str) -> Value:
    if option["type"] == INTEGER:
        return int(text)
    if option["type"] == NUMBER:
        return float(text)
    return text == "on" if option["type"] == BOOLEAN else text
