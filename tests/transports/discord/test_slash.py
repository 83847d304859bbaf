"""The registry as slash commands, and back."""

import inspect
from collections.abc import Iterable, Mapping
from enum import Enum
from keyword import iskeyword
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.structs import replace

from socbot.bot import COMMANDS
from socbot.dispatch.arguments import Completes, Duration, Parameter, Rest, Secret
from socbot.dispatch.commands import Command, Permission, Registry, command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Attachment, ChannelRef, GuildRef, Message, UserRef
from socbot.testing import said
from socbot.transports.discord.slash import Slash, application_commands
from socbot.transports.discord.slash_layout import MOST_AT_TOP, MOST_IN_GROUP
from socbot.transports.discord.slash_options import JSON, MOST_CHARACTERS, clip, size, typed
from tests.standin.schema import check_commands

SLASH = Slash(COMMANDS)


class Colour(Enum):
    RED = 1
    GREEN = 2


def made(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    optional: Mapping[str, Any] | None = None,
    flags: Iterable[str] = (),
    many: Any = None,
    doc: str = "Does something.",
    **options: Any,
) -> Command:
    """A command of an embedder's, by what its handler would take."""

    async def handler(*arguments: Any, **more: Any) -> None: ...

    required, given_ = dict(parameters or {}), dict(optional or {})
    places = [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in ("ctx", *required)]
    places += [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for each in given_]
    places += [inspect.Parameter("words", inspect.Parameter.VAR_POSITIONAL)] if many else []
    places += [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=False) for each in flags]
    handler.__doc__ = doc
    handler.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]
    handler.__annotations__ = {"ctx": Context} | required | given_ | dict.fromkeys(flags, bool) | {"words": many}
    return command(name, **options)(handler)


EVERYTHING = made(
    "everything",
    {"number": int, "share": Annotated[float, Meta(ge=-1e6, le=1e6)], "colour": Colour, "on": bool, "guild": GuildRef},
    optional={"user": UserRef, "channel": ChannelRef, "wait": Duration, "file": Attachment, "text": Rest},
    flags=("quick", "dry_run"),
    group="things",
)
LISTING = made("listing", {"first": Literal["a", "B"]}, many=UserRef, group="things", flags=("csv",))
TRIED = (*COMMANDS, EVERYTHING, LISTING)
TRIED_SLASH = Slash(TRIED)


# -- both ways ----------------------------------------------------------------------------------------


def used(slash: Slash, command: Command, values: Mapping[str, object]) -> JSON:
    """The data of an interaction in which ``command`` was used, as Discord sends it, by the option's name."""
    path = slash.path_of(command).split()
    node = next(each for each in slash.commands if each["name"] == path[0] and each["type"] == 1)
    for name in path[1:]:
        node = next(each for each in node["options"] if each["name"] == name)
    listed = {option["name"]: option for option in node.get("options", ())}
    options = [{"type": listed[name]["type"], "name": name, "value": value} for name, value in values.items()]
    if len(path) == 2:
        options = [{"type": 1, "name": path[1], "options": options}]
    return {"id": "1", "type": 1, "name": path[0], "options": options}


WORDS = st.text("abcXYZ019_ä", min_size=1, max_size=12)
LINES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)


def values(parameter: Parameter) -> st.SearchStrategy[tuple[str, object]]:
    """What somebody would type for it, and the option's value that says the same."""
    kind: object = parameter.type
    ids = st.integers(1, 2**63).map(str)
    if parameter.kind == "flag":
        return st.just((f"--{parameter.name}", True))
    if parameter.choices:
        return st.sampled_from(parameter.choices).map(lambda choice: (choice.upper(), choice))
    if kind is UserRef:
        return ids.map(lambda id: (f"<@{id}>", id))
    if kind is ChannelRef:
        return ids.map(lambda id: (f"<#{id}>", id))
    if kind is GuildRef:
        return ids.map(lambda id: (id, id))
    if kind is bool:
        return st.booleans().map(lambda value: ("yes" if value else "no", value))
    if kind is int or kind is float:
        return numbers(parameter).map(lambda value: (repr(value), value))
    if kind is Duration:
        return st.sampled_from(["1m", "59m", "1H"]).map(lambda text: (text, text))
    texts = LINES if parameter.kind == "rest" else WORDS
    return texts.map(lambda text: (text, text))


def numbers(parameter: Parameter) -> st.SearchStrategy[float]:
    least, most = parameter.minimum, parameter.maximum
    if parameter.type is int:
        return st.integers(-(2**53) + 1 if least is None else int(least), 2**53 - 1 if most is None else int(most))
    return st.floats(least, most, allow_subnormal=False).filter(lambda value: not 0 < abs(value) < 1e-9)


@st.composite
def uses(draw: st.DrawFn) -> tuple[Command, str, dict[str, object]]:
    """A command, a line of arguments, and the options that say the same."""
    command = draw(st.sampled_from([each for each in TRIED if not each.sensitive]))  # a form asks for secrets
    words = [each for each in command.parameters if each.kind in ("word", "rest")]
    least = sum(each.required for each in words)
    line, options = [], {}
    for parameter in command.parameters:
        if parameter.kind == "flag" and draw(st.booleans()):
            text, options[parameter.name] = draw(values(parameter))
            line.append(text)
    for parameter in words[: draw(st.integers(least, len(words)))]:
        text, options[parameter.name] = draw(values(parameter))
        line.append(text)
    for parameter in command.parameters:
        if parameter.kind == "many" and (several := draw(st.lists(values(parameter), max_size=3))):
            line += [text for text, _ in several]
            options[parameter.name] = " ".join(text for text, _ in several)
    return command, " ".join(line), options


@settings(max_examples=600)
@given(uses())
def test_a_slash_command_is_the_same_as_the_line_that_says_the_same(
    use: tuple[Command, str, dict[str, object]],
) -> None:
    command, line, options = use
    found = TRIED_SLASH.command_of(used(TRIED_SLASH, command, options))
    assert found is not None
    assert found[0] is command
    message = said("", platform="discord")
    by_text = command.signature.bind(line, message)
    by_slash = command.signature.bind("", replace(message, options=found[1]))
    assert by_slash == by_text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_a_slash_command_that_leads_back_to_it(command: Command) -> None:
    assert SLASH.command_of(used(SLASH, command, {})) == (command, {})


def test_files_come_in_the_order_of_the_parameters() -> None:
    two = made("two", {"before": Attachment | None, "note": str, "after": Attachment})
    slash = Slash([two])
    assert [option["name"] for option in slash.commands[0]["options"]] == ["note", "after", "before"]
    data = used(slash, two, {"after": "11", "note": "x", "before": "10"})
    data["resolved"] = {"attachments": {"10": {"id": "10", "filename": "b"}, "11": {"id": "11", "filename": "a"}}}
    assert [each["filename"] for each in slash.attachments_of(data)] == ["b", "a"]
    assert slash.command_of(data) == (two, {"note": "x"})


def test_a_flag_that_is_off_is_not_there() -> None:
    quick = made("quick", flags=("csv",))
    slash = Slash([quick])
    assert slash.command_of(used(slash, quick, {"csv": False})) == (quick, {})
    assert slash.command_of(used(slash, quick, {"csv": True})) == (quick, {"csv": "on"})


@pytest.mark.parametrize(
    ("value", "text"),
    [("<b> \n", "<b> \n"), (5, "5"), (-(2**53), "-9007199254740992"), (0.1, "0.1"), (2.0, "2.0"), (1e-7, "0.0000001"),
     (1e15, "1000000000000000.0"), (True, "on"), (False, "off")],
)  # fmt: skip
def test_values_are_written_as_they_would_be_typed(value: object, text: str) -> None:
    assert typed(value) == text


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "gone", "type": 1},
        {"name": "blacklist", "type": 1},
        {"name": "blacklist", "type": 1, "options": [{"type": 1, "name": "gone"}]},
        {"name": "ping", "type": 1, "options": [{"type": 1, "name": "add"}]},
        {"name": "gone", "type": 2, "target_id": "1"},
        {"name": "Blacklist", "type": 3, "target_id": "1"},
    ],
)
def test_what_is_no_longer_there_is_no_command(data: JSON) -> None:
    assert SLASH.command_of(data) is None
    assert SLASH.attachments_of(data) == ()
    assert SLASH.focused(data) is None


def test_an_option_that_is_no_longer_there_is_left_out() -> None:
    ping = next(each for each in COMMANDS if each.name == "ping")
    data = {"name": "ping", "type": 1, "options": [{"type": 3, "name": "gone", "value": "x"}]}
    assert SLASH.command_of(data) == (ping, {})


# -- what Discord is told -----------------------------------------------------------------------------


def test_what_people_find_under_the_slash() -> None:
    groups = {
        each["name"]: " ".join(sorted(option["name"] for option in each["options"]))
        for each in SLASH.commands
        if any(option["type"] == 1 for option in each.get("options", ()))
    }
    assert groups == {
        "access": "dashboard token_add token_remove tokens",
        "analytics": "command_stats config export forget_user guild_stats heatmap reset show top_errors user_stats",
        "backup": "config drill list now prune restore status verify",
        "blacklist": "add export history import list remove stats temp",
        "drill": "end start status",
        "errors": "clear config dashboard details mute notify recent resolve search stats trends",
        "health_admin": "config history",
        "incident": "close list note open show",
        "logs": "clear config export level search set_backups set_size stats view",
        "performance": "compare export profile_command reset_profile show slow_commands",
        "pipeline": "mode reload show",
        "rate_limit": "config exempt reset_violations set_command_cooldown stats test",
        "signals": "alert show",
        "task": "restart run schedule start stats stop",
        "webhook": "add config deliveries info list remove retry stats test",
    }
    assert {each["name"] for each in SLASH.commands if each["type"] == 1} - groups.keys() == {
        "help", "ping", "uptime", "about", "health", "bot_stats", "config", "maintenance", "shutdown", "restart",
        "why", "blacklist_check", "rate_limit_status", "tasks", "task_info",
    }  # fmt: skip


def test_discord_would_take_the_list_and_nothing_is_unusual_about_it() -> None:
    assert check_commands(SLASH.commands) == []
    assert SLASH.warnings == ()


def test_commands_that_are_to_come_have_the_names_that_are_promised() -> None:
    names = ("backup_now", "list_backups", "restore_backup", "backup_config", "backup_status")
    hooks = ("add_webhook", "list_webhooks", "webhook_info", "webhook_stats")
    logs = ("view_logs", "log_level", "clear_logs")
    later = [made(name, group="backup") for name in names]
    later += [made(name, group="webhooks") for name in hooks]
    later += [made(name, group="logs") for name in logs]
    later += [made(f"incident {word}", group="signals", permission="admin") for word in ("open", "note")]
    later += [made("health", group="health", permission="public"), made("health_history", group="health")]
    slash = Slash(later)
    assert [slash.path_of(each) for each in later] == [
        "backup now", "backup list", "backup restore", "backup config", "backup status",
        "webhook add", "webhook list", "webhook info", "webhook stats",
        "logs view", "logs level", "logs clear",
        "incident open", "incident note", "health", "health_admin history",
    ]  # fmt: skip


def test_nobody_but_administrators_is_shown_what_is_not_for_everybody() -> None:
    for each in TRIED:
        top = TRIED_SLASH.path_of(each).split()[0]
        told = next(one for one in TRIED_SLASH.commands if one["name"] == top and one["type"] == 1)
        assert told["default_member_permissions"] == (None if each.permission == "public" else "0")
        assert (told["contexts"], told["integration_types"]) == ([0, 1], [0])


def test_arguments_are_told_as_exactly_as_discord_can() -> None:
    listed = next(each for each in TRIED_SLASH.commands if each["name"] == "things")
    told = {option["name"]: option for option in listed["options"]}
    options = {option["name"]: option for option in told["everything"]["options"]}
    kinds = {name: option["type"] for name, option in options.items()}
    assert kinds == {
        "number": 4, "share": 10, "colour": 3, "on": 5, "guild": 3,
        "user": 6, "channel": 7, "wait": 3, "file": 11, "text": 3, "quick": 5, "dry_run": 5,
    }  # fmt: skip
    assert [name for name, option in options.items() if option.get("required")] == list(kinds)[:5]
    assert (options["share"]["min_value"], options["share"]["max_value"]) == (-1e6, 1e6)
    assert options["colour"]["choices"] == [{"name": "red", "value": "red"}, {"name": "green", "value": "green"}]
    assert options["text"]["max_length"] == 4000
    assert "90m" in options["wait"]["description"]
    assert told["listing"]["options"][1]["type"] == 3


def test_a_default_is_told() -> None:
    performance = next(each for each in SLASH.commands if each["name"] == "errors")
    recent = next(each for each in performance["options"] if each["name"] == "recent")
    assert recent["options"][0]["description"] == "a whole number from 1 to 100; 20 if left out"


def test_a_secret_is_no_option() -> None:
    hook = made("add_webhook", {"name": str, "url": Annotated[str, Secret()]}, group="webhooks")
    (group,) = application_commands([hook])
    assert [option["name"] for option in group["options"][0]["options"]] == ["name"]


def test_numbers_beyond_what_discord_counts_are_typed() -> None:
    (told,) = application_commands([made("id", {"id": Annotated[int, Meta(ge=0, le=2**63)]}, group="bot")])
    assert told["options"][0]["type"] == 3


def test_too_many_choices_are_completed_instead() -> None:
    names = tuple(f"choice{number}" for number in range(26))
    pick = made("pick", {"one": Literal[names]})
    slash = Slash([pick])
    option = slash.commands[0]["options"][0]
    assert (option["autocomplete"], "choices" in option) == (True, False)


def test_what_is_being_typed_is_known_with_what_else_is_there() -> None:
    job = made("run", {"job": Annotated[str, Completes("job")]}, optional={"note": str}, group="bot")
    slash = Slash([job])
    assert slash.commands[0]["options"][0]["autocomplete"] is True
    data = used(slash, job, {"note": "x", "job": "mon"})
    data["options"][1]["focused"] = True
    focus = slash.focused(data)
    assert focus is not None
    assert (focus.command, focus.parameter.completes, focus.typed, focus.options) == (job, "job", "mon", {"note": "x"})


def test_a_menu_gives_its_user_to_the_command() -> None:
    menus = [each["name"] for each in SLASH.commands if each["type"] == 2]
    assert menus == ["Blacklist", "Blacklist history", "Forget violations", "Statistics"]
    used_on = {"type": 2, "target_id": "42"}
    add = SLASH.command_of({"name": "Blacklist", **used_on})
    stats = SLASH.command_of({"name": "Statistics", **used_on})
    assert add is not None
    assert (add[0].name, add[1]) == ("blacklist_add", {"kind": "user", "id": "42"})
    assert stats is not None
    assert (stats[0].name, stats[1]) == ("user_stats", {"user": "42"})
    arguments, _ = add[0].signature.bind("", replace(said(""), options=add[1]))
    assert arguments == ["user", "42", ""]


def test_a_menu_without_a_user_or_a_sixth_one_is_said_to_be_missing() -> None:
    fine = [made(f"poke{number}", {"user": UserRef}, menu=f"Poke {number}") for number in range(6)]
    slash = Slash([*fine, made("odd", {"text": str}, menu="Odd")])
    assert len([each for each in slash.commands if each["type"] == 2]) == 5
    assert [warning.split()[0] for warning in slash.warnings] == ["poke5", "odd"]


def test_the_same_registry_is_told_in_the_same_way() -> None:
    registry = Registry()
    for each in TRIED:
        registry.add(each)
    assert application_commands(registry) == application_commands(TRIED) == TRIED_SLASH.commands


# -- more than Discord has room for -------------------------------------------------------------------


def everything_of(slash: Slash, commands: Iterable[Command]) -> None:
    """Each command has a place that leads back to it, or is said to have none."""
    told = " ".join(slash.warnings)
    paths = [slash.path_of(each) for each in commands]
    assert len({path for path in paths if path}) == len([path for path in paths if path])
    for each, path in zip(commands, paths, strict=True):
        if path:
            assert slash.command_of(used(slash, each, {})) == (each, {})
        else:
            assert each.name in told


@pytest.mark.parametrize(
    ("permissions", "group"),
    [
        (["owner"], "theirs"), (["public"], "theirs"), (["public"], ""), (["owner"], ""), (["owner"], "{}"),
        (["public"], "{}"), (["owner", "public", "admin"], ""), (["public", "owner"], "group{}"),
    ],
)  # fmt: skip
def test_150_commands_of_an_embedder_stay_within_the_limits(permissions: list[Permission], group: str) -> None:
    theirs = [
        made(f"do{number}", group=group.format(number), permission=permissions[number % len(permissions)])
        for number in range(150)
    ]
    commands = (*COMMANDS, *theirs)
    slash = Slash(commands)
    assert check_commands(slash.commands) == []
    assert all(slash.path_of(each) for each in commands)
    everything_of(slash, commands)
    assert slash.path_of(COMMANDS[0]) == "help"


def test_where_there_is_no_room_at_top_level_a_system_keeps_its_commands_together() -> None:
    theirs = [made(f"theirs_do{number}", group="theirs", permission="public") for number in range(120)]
    slash = Slash([*COMMANDS, *theirs])
    assert slash.path_of(theirs[0]) == "theirs do0"
    assert slash.path_of(theirs[30]) == "theirs2 do30"
    assert slash.warnings


def test_what_is_beyond_every_limit_is_said_to_be_left_out() -> None:
    commands = [made(f"do{number}", group=f"group{number // 3}") for number in range(3_000)]
    slash = Slash(commands)
    assert check_commands(slash.commands) == []
    assert len(slash.commands) == MOST_AT_TOP
    assert sum(bool(slash.path_of(each)) for each in commands) > 2_000
    everything_of(slash, commands)


def test_more_than_25_of_a_system_are_in_a_second_group_and_that_is_said() -> None:
    commands = [made(f"do{number}", group="theirs") for number in range(MOST_IN_GROUP + 1)]
    slash = Slash(commands)
    assert [(each["name"], len(each["options"])) for each in slash.commands] == [("theirs", 25), ("theirs2", 1)]
    assert "/theirs2" in slash.warnings[0]


def test_more_options_than_discord_has_are_left_out_or_the_command_is() -> None:
    few = made("few", {"a": str}, optional={f"b{number}": str for number in range(30)})
    none = made("none", {f"a{number}": str for number in range(26)})
    slash = Slash([few, none])
    assert len(slash.commands[0]["options"]) == 25
    assert slash.path_of(none) == ""
    assert "b24" in " ".join(slash.warnings)
    assert "none" in " ".join(slash.warnings)


def test_8000_characters_are_kept_to_by_telling_less() -> None:
    long = Annotated[str, Meta(description="A very long way to say what is expected here. " * 5)]
    wordy = [made(f"do{number}", {f"a{n}": long for n in range(10)}, group="theirs") for number in range(20)]
    choice: Any = Literal[tuple(f"{'x' * 90}{number}" for number in range(25))]
    picky = made("picky", {f"a{number}": choice for number in range(25)}, group="bot")
    slash = Slash([*wordy, picky])
    assert check_commands(slash.commands) == []
    assert max(map(size, slash.commands)) <= MOST_CHARACTERS
    everything_of(slash, [*wordy, picky])


NAMES = st.from_regex(r"[a-zäß³][a-z0-9_-]{0,39}( [a-z0-9_-]{0,30}[a-z])?", fullmatch=True)
KINDS = st.sampled_from(
    [
        str, int, float, bool, UserRef, GuildRef, ChannelRef, Duration, Attachment, Colour, Literal["a", "b"],
        Literal["", "a"], Annotated[str, Completes("job")], Annotated[str, Secret()],
        Annotated[int, Meta(ge=1, le=2**60)],
    ]
)  # fmt: skip


@st.composite
def registries(draw: st.DrawFn) -> list[Command]:
    names = draw(st.lists(NAMES, min_size=1, max_size=40, unique=True))
    groups = draw(st.lists(st.text(max_size=40), min_size=1, max_size=6))
    identifiers = st.from_regex(r"[a-zA-Z_][A-Za-z_0-9]{0,40}", fullmatch=True).filter(lambda name: not iskeyword(name))
    arguments = st.dictionaries(identifiers, KINDS, max_size=4)
    return [
        made(
            name,
            {key: kind for key, kind in draw(arguments).items() if key != "ctx"},
            doc=draw(st.text(max_size=150)),
            group=draw(st.sampled_from(groups)),
            permission=draw(st.sampled_from(["owner", "admin", "public"])),
        )
        for name in names
    ]


@given(registries())
def test_whatever_is_registered_discord_would_take_it(commands: list[Command]) -> None:
    slash = Slash(commands)
    assert check_commands(slash.commands) == []
    everything_of(slash, commands)


@given(st.text(max_size=300), st.integers(1, 120))
def test_text_is_cut_within_its_limit(text: str, limit: int) -> None:
    cut = clip(text, limit)
    assert len(cut.encode("utf-16-le", "surrogatepass")) // 2 <= limit
    assert cut == text or cut.endswith("…")


def test_an_accent_or_a_family_is_not_cut_apart() -> None:
    assert clip("abcde\u0301f", 6) == "abcd…"
    assert clip("abc👩\u200d👧 def", 7) == "abc…"


def test_a_message_has_the_platforms_ids() -> None:
    message: Message = replace(said("", platform="discord"), options={"user": "42"})
    user_stats = next(each for each in COMMANDS if each.name == "user_stats")
    assert user_stats.signature.bind("", message) == ([UserRef("discord", "42")], {})
