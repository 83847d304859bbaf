"""People who use the bot as Discord's own client lets them: what the client refuses, they cannot do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.standin.world import (
    Channel,
    Guild,
    Interaction,
    Json,
    Message,
    Modal,
    Permission,
    Role,
    User,
    World,
    resolved_member,
)

Value: TypeAlias = "str | int | float | bool | User | Channel | Role | tuple[str, bytes]"
"""What an option takes; a file is a name and its content."""

SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, FILE = range(1, 12)
_ANSWER_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Answer:
    """What the user got: a message, or a form."""

    interaction: Interaction

    @property
    def message(self) -> Message:
        assert self.interaction.shown, "the answer is a form"
        return self.interaction.shown

    @property
    def modal(self) -> Modal | None:
        return self.interaction.modal

    @property
    def text(self) -> str:
        return self.message.text

    @property
    def ephemeral(self) -> bool:
        return self.message.ephemeral

    @property
    def deferred(self) -> bool:
        """Whether the user first saw that the bot is thinking."""
        return self.interaction.deferred


@dataclass(slots=True, eq=False)
class Use:
    """One use of a command, a component or a form, under way."""

    interaction: Interaction

    async def answer(self, *, seconds: float = _ANSWER_SECONDS) -> Answer:
        """Wait for what the user finally sees.

        :raises AssertionError: if that does not come in time
        """
        used = self.interaction
        await used.bell.until(lambda: used.is_answered, seconds, lambda: f"an answer to {used.data}: {_so_far(used)}")
        return Answer(used)

    async def acknowledged(self, *, seconds: float = _ANSWER_SECONDS) -> Interaction:
        """Wait for the first answer, be it that the bot is thinking."""
        used = self.interaction
        await used.bell.until(lambda: used.callback, seconds, lambda: f"a callback for {used.data}")
        return used


def _so_far(used: Interaction) -> str:
    return "nothing came" if used.callback is None else f"callback of type {used.callback}"


@dataclass(slots=True, eq=False, kw_only=True)
class Person(User):
    """Somebody on Discord. ``at`` is where they are when a call does not say ``in_=``."""

    world: World
    at: Channel | None = None

    @property
    def dm(self) -> Channel:
        """Their conversation with the bot."""
        return self.world.dm(self)

    def closes_dms(self) -> None:
        self.dms_open = False

    def member_of(self, guild: Guild) -> bool:
        return self.id in guild.members

    def is_timed_out_in(self, guild: Guild) -> bool:
        return guild.is_timed_out(guild.members[self.id])

    async def joins(self, guild: Guild) -> None:
        guild.joined_by(self)

    async def leaves(self, guild: Guild) -> None:
        guild.left_by(self)

    # Messages

    async def says(
        self,
        content: str,
        *,
        in_: Channel | None = None,
        files: dict[str, bytes] | None = None,
        reply_to: Message | None = None,
    ) -> Message:
        """Write a message.

        :raises AssertionError: if they may not write there
        """
        channel = self._place(in_)
        assert channel.may_write(self), f"{self.name} may not write in {channel.name}"
        return self.world.post(
            channel,
            self,
            content=content,
            attachments=[self.world.attachment(channel, *file) for file in (files or {}).items()],
            reference=reply_to,
            kind=19 if reply_to else 0,
        )

    async def forwards(self, message: Message, *, in_: Channel | None = None) -> Message:
        return self.world.post(self._place(in_), self, forwarded=message)

    async def edits(self, message: Message, content: str) -> None:
        assert message.author is self, "that is somebody else's message"
        self.world.edit(message, content=content)

    async def deletes(self, message: Message) -> None:
        self.world.delete(message)

    def _place(self, in_: Channel | None) -> Channel:
        if in_ is None and self.at is None:
            homes = (guild.general for guild in self.world.guilds.values() if self.member_of(guild))
            self.at = next(homes, self.dm)
        self.at = in_ or self.at
        assert self.at
        return self.at

    # Commands

    async def slash(self, path: str, /, *, in_: Channel | None = None, **options: Value) -> Use:
        """Use a slash command: ``await alice.slash("blacklist add", kind="user", id="42")``.

        An option named with a hyphen is given with an underscore.

        :raises AssertionError: if Discord's client would not let them
        """
        channel = self._place(in_)
        command, leaf, nest = self._command(path, channel)
        resolved: Json = {}
        given = _Options(self.world, channel, leaf, resolved)
        data = _command_data(command, nest(given.filled_in(options)), resolved)
        return Use(self.world.interact(2, self, channel, data))

    async def completes(self, path: str, /, *, in_: Channel | None = None, **options: Value) -> dict[str, str | float]:
        """Type into the last option named, and wait for what is suggested: values by their names."""
        channel = self._place(in_)
        command, leaf, nest = self._command(path, channel)
        given = _Options(self.world, channel, leaf, {})
        data = _command_data(command, nest(given.half_typed(options)), {})
        used = self.world.interact(4, self, channel, data)
        await used.bell.until(
            lambda: used.choices is not None, _ANSWER_SECONDS, lambda: f"suggestions for /{path} {options}"
        )
        return {choice["name"]: choice["value"] for choice in used.choices or ()}

    async def menu(self, name: str, *, target: User | Message, in_: Channel | None = None) -> Use:
        """Use an entry of the context menu of a user or a message."""
        if isinstance(target, Message):
            kind, channel, id = 3, target.channel, target.id
            resolved: Json = {"messages": {id: target.payload()}}
        else:
            kind, channel, id = 2, self._place(in_), target.id
            resolved = _resolved_user(self.world.users[id], channel)
        command = self._offered(kind, name, channel)
        data = _command_data(command, [], resolved) | {"target_id": id}
        return Use(self.world.interact(2, self, channel, data))

    def offered(self, in_: Channel | None = None) -> list[str]:
        """The names of the slash commands that their client shows there."""
        channel = self._place(in_)
        return sorted(c["name"] for c in _commands_for(channel, 1) if self._is_offered(c, channel))

    def _command(self, path: str, channel: Channel) -> "tuple[Json, Json, _Nest]":
        """The registered command, its leaf that has the options, and what wraps options into the leaf's groups."""
        first, *words = path.split()
        command = leaf = self._offered(1, first, channel)
        above: list[Json] = []
        for word in words:
            under = [option for option in leaf.get("options", ()) if option["type"] in (SUBCOMMAND, GROUP)]
            leaf = next((option for option in under if option["name"] == word), {})
            assert leaf, f"/{path}: there is no {word!r}, but {[option['name'] for option in under]}"
            above.append(leaf)
        deeper = [o["name"] for o in leaf.get("options", ()) if o["type"] in (SUBCOMMAND, GROUP)]
        assert not deeper, f"/{path} goes on with one of {deeper}"
        return command, leaf, _Nest(above)

    def _offered(self, kind: int, name: str, channel: Channel) -> Json:
        there = _commands_for(channel, kind)
        command = next((command for command in there if command["name"] == name), None)
        assert command, f"no command {name!r} is registered, but {sorted(c['name'] for c in there)}"
        assert self._is_offered(command, channel), f"{self.name} is not offered {name!r} in {channel.name}"
        return command

    def _is_offered(self, command: Json, channel: Channel) -> bool:
        if channel.guild is None:
            return 1 in command.get("contexts", (0, 1)) and command.get("dm_permission") is not False
        granted = channel.permissions_of(self)
        needed = command["default_member_permissions"]
        if 0 not in command.get("contexts", (0, 1)) or not granted & Permission.USE_APPLICATION_COMMANDS:
            return False
        if needed is None or granted & Permission.ADMINISTRATOR:
            return True
        return needed != "0" and granted & int(needed) == int(needed)

    # Components and forms

    async def clicks(self, message: Message | Answer, button: str) -> Use:
        """Press a button, by its label or its ``custom_id``.

        :raises AssertionError: if there is none that can be pressed, or they do not see the message
        """
        found = self._component(_message(message), button, 2)
        assert not found.get("disabled"), f"the button {button!r} is greyed"
        assert "custom_id" in found, f"the button {button!r} is a link"
        data = {"component_type": 2, "custom_id": found["custom_id"], "id": found.get("id", 1)}
        return self._uses(_message(message), data)

    async def picks(self, message: Message | Answer, menu: str, *values: str) -> Use:
        """Choose from a select menu, by its placeholder or ``custom_id``: options by label or value."""
        found = self._component(_message(message), menu, 3)
        by_label = {option["label"]: option["value"] for option in found["options"]}
        chosen = [by_label.get(value, value) for value in values]
        assert {*chosen} <= {*by_label.values()}, f"the menu has {sorted(by_label)}, not {values}"
        assert found.get("min_values", 1) <= len(chosen) <= found.get("max_values", 1), "too few or too many chosen"
        data = {"component_type": 3, "custom_id": found["custom_id"], "values": chosen, "id": found.get("id", 1)}
        return self._uses(_message(message), data)

    async def submits(self, modal: Modal | Answer, /, **values: str) -> Use:
        """Fill in a form, by ``custom_id`` or label, and send it; what is not named stays as it was."""
        form = modal.modal if isinstance(modal, Answer) else modal
        assert form, "the answer is no form"
        assert form.interaction.user is self, f"{self.name} does not see this form"
        assert not form.closed, "the form was sent already"
        filled = _filled_in(form, values)
        form.closed = True
        data: Json = {"custom_id": form.custom_id, "components": [_submitted(part, filled) for part in form.components]}
        used = form.interaction
        return Use(self.world.interact(5, self, used.channel, data, used.message))

    def _component(self, message: Message, name: str, kind: int) -> Json:
        assert not message.deleted, f"{self.name} cannot press {name!r}: the message is gone"
        sees = not message.ephemeral or (message.interaction is not None and message.interaction.user is self)
        assert sees, f"{self.name} does not see this message"
        parts = message.parts(kind)
        named = (part for part in parts if name in (part.get("label"), part.get("placeholder"), part.get("custom_id")))
        found = next(named, None)
        assert found, f"no {name!r}, but {[part.get('label') or part.get('custom_id') for part in parts]}"
        return found

    def _uses(self, message: Message, data: Json) -> Use:
        return Use(self.world.interact(3, self, message.channel, data, message))


def _message(shown: Message | Answer) -> Message:
    return shown.message if isinstance(shown, Answer) else shown


def _commands_for(channel: Channel, kind: int) -> list[Json]:
    """The registered commands in a channel: its guild's own hide global ones of the same name."""
    world, guild = channel.world, channel.guild
    own = [c for c in world.commands.get(guild.id if guild else "-", ()) if c["type"] == kind]
    names = {command["name"] for command in own}
    return own + [c for c in world.commands.get("", ()) if c["type"] == kind and c["name"] not in names]


def _command_data(command: Json, options: list[Json], resolved: Json) -> Json:
    data: Json = {"id": command["id"], "name": command["name"], "type": command["type"]}
    if options:
        data["options"] = options
    if resolved:
        data["resolved"] = resolved
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    return data


@dataclass(slots=True)
class _Nest:
    """The groups and the subcommand above options, outermost first."""

    above: Sequence[Json]

    def __call__(self, options: list[Json]) -> list[Json]:
        for part in reversed(self.above):
            options = [{"name": part["name"], "type": part["type"], "options": options}]
        return options


def _resolved_user(user: User, channel: Channel) -> Json:
    resolved: Json = {"users": {user.id: user.payload()}}
    if channel.guild and user.id in channel.guild.members:
        resolved["members"] = {user.id: resolved_member(channel, user)}
    return resolved


@dataclass(slots=True)
class _Options:
    """Values for the options that a leaf declares, checked as the client checks them."""

    world: World
    channel: Channel
    leaf: Json
    resolved: Json
    declared: dict[str, Json] = field(init=False)

    def __post_init__(self) -> None:
        self.declared = {option["name"]: option for option in self.leaf.get("options", ())}

    def filled_in(self, given: dict[str, Value]) -> list[Json]:
        named = {self._name(key): value for key, value in given.items()}
        lacking = [o["name"] for o in self.declared.values() if o.get("required") and o["name"] not in named]
        assert not lacking, f"{self.leaf['name']} requires {lacking}"
        return [self._option(self.declared[name], value) for name, value in named.items()]

    def half_typed(self, given: dict[str, Value]) -> list[Json]:
        """Nothing is required or checked yet, and the last is being typed."""
        names = [self._name(key) for key in given]
        typed = [
            {"name": name, "type": self.declared[name]["type"], "value": value}
            for name, value in zip(names, given.values(), strict=True)
        ]
        assert self.declared[names[-1]].get("autocomplete"), f"{names[-1]!r} has no autocompletion"
        typed[-1]["focused"] = True
        return typed

    def _name(self, key: str) -> str:
        for name in (key, key.replace("_", "-")):
            if name in self.declared:
                return name
        raise AssertionError(f"{self.leaf['name']} has no option {key!r}, but {[*self.declared]}")

    def _option(self, option: Json, value: Value) -> Json:
        kind = option["type"]
        if kind in (USER, CHANNEL, ROLE, MENTIONABLE):
            taken: object = self._reference(option, value)
        elif kind == FILE:
            taken = self._file(value)
        else:
            taken = _plain(option, value)
        return {"name": option["name"], "type": kind, "value": taken}

    def _file(self, value: Value) -> str:
        assert isinstance(value, tuple), "a file is a name and its content"
        attachment = self.world.attachment(self.channel, *value)
        self.resolved.setdefault("attachments", {})[attachment.id] = attachment.payload()
        return attachment.id

    def _reference(self, option: Json, value: Value) -> str:
        id = value if isinstance(value, str) else value.id  # type: ignore[union-attr]
        kind, guild = option["type"], self.channel.guild
        if kind in (USER, MENTIONABLE) and id in self.world.users:
            found = _resolved_user(self.world.users[id], self.channel)
        elif kind in (ROLE, MENTIONABLE) and guild and id in guild.roles:
            found = {"roles": {id: guild.roles[id].payload()}}
        elif kind == CHANNEL and guild and id in guild.channels:
            found = {"channels": {id: self._channel(option, guild.channels[id])}}
        else:
            raise AssertionError(f"{option['name']}: there is no {value!r} to choose")
        for section, entries in found.items():
            self.resolved.setdefault(section, {}).update(entries)
        return id

    def _channel(self, option: Json, channel: Channel) -> Json:
        types = option.get("channel_types")
        assert not types or channel.kind in types, f"{option['name']} takes no channel of type {channel.kind}"
        return channel.payload() | {"permissions": str(Permission.ALL)}


def _plain(option: Json, value: Value) -> str | int | float | bool:
    name, kind = option["name"], option["type"]
    types: dict[int, tuple[type, ...]] = {STRING: (str,), INTEGER: (int,), BOOLEAN: (bool,), NUMBER: (int, float)}
    fits = isinstance(value, types[kind]) and (kind == BOOLEAN or not isinstance(value, bool))
    assert fits, f"{name}: {value!r} is no value for an option of type {kind}"
    assert isinstance(value, str | int | float)
    if choices := option.get("choices"):
        by_name = {choice["name"]: choice["value"] for choice in choices}
        chosen = by_name.get(str(value), value)
        assert chosen in by_name.values(), f"{name}: {value!r} is none of {[*by_name]}"
        return chosen  # type: ignore[no-any-return]
    size = len(value) if isinstance(value, str) else value
    low, high = ("min_length", "max_length") if kind == STRING else ("min_value", "max_value")
    assert option.get(low, size) <= size <= option.get(high, size), f"{name}: {value!r} is out of bounds"
    return value


def _filled_in(form: Modal, values: dict[str, str]) -> dict[str, str]:
    filled = {part["custom_id"]: part.get("value") or "" for part in form.inputs}
    by_label = {form.label_of(custom_id): custom_id for custom_id in filled}
    for key, value in values.items():
        name = key if key in filled else by_label.get(key, "")
        assert name, f"the form has no {key!r}, but {sorted(filled)}"
        filled[name] = value
    for part in form.inputs:
        _check_input(part, filled[part["custom_id"]])
    return filled


def _check_input(part: Json, value: str) -> None:
    name, least = part["custom_id"], part.get("min_length", 0)
    assert value or not part.get("required", True), f"{name} is required"
    assert not value or len(value) >= least, f"{name} is shorter than {least}"
    assert len(value) <= part.get("max_length", 4000), f"{name} is longer than {part.get('max_length')}"


def _submitted(part: Json, filled: dict[str, str]) -> Json:
    """A component of a form as it comes back."""
    if part["type"] == 4:
        return {"type": 4, "custom_id": part["custom_id"], "value": filled[part["custom_id"]], "id": part.get("id", 1)}
    if part["type"] == 18:
        return {"type": 18, "id": part.get("id", 1), "component": _submitted(part["component"], filled)}
    return {"type": part["type"], "components": [_submitted(inner, filled) for inner in part.get("components", ())]}
