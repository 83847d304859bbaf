"""Commands are found by what people type, and say how they are used."""

import time
from random import Random
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from socbot.dispatch.arguments import Duration, DurationRange, Rest
from socbot.dispatch.commands import Command, Concurrency, Registry, command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Attachment, ChannelRef, GuildRef, UserRef
from socbot.testing import said


async def nothing(ctx: Context) -> None:
    """Do nothing.

    At length.
    """


def named(name: str, *aliases: str) -> Command:
    return command(name, aliases=aliases)(nothing)


def registry(*names: str) -> Registry:
    made = Registry()
    for name in names:
        made.add(named(name))
    return made


# -- finding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "name", "rest"),
    [
        ("ping", "ping", "ping", ""),
        ("ping a b", "ping", "ping", "a b"),
        ("PING a", "ping", "ping", "a"),
        ("  ping\ta", "ping", "ping", "a"),
        ("ping\na\nb", "ping", "ping", "a\nb"),
        ("task start x", "task start", "task start", "x"),
        ("Task  START   x y", "task start", "task start", "x y"),
        ("task start", "task start", "task start", ""),
        ("list all", "list", "list", "all"),
        ("list mine x", "list mine", "list mine", "x"),
        ("list", "list", "list", ""),
        ("task", None, "task", ""),
        ("task strat x", None, "task strat", "x"),
        ("pingpong", None, "pingpong", ""),
        ("", None, "", ""),
        ("   ", None, "", ""),
    ],
)
def test_a_name_is_found_as_it_is_typed(text: str, found: str | None, name: str, rest: str) -> None:
    command, as_written, left = registry("ping", "task start", "task stop", "list", "list mine").find(text)
    assert (command and command.name, as_written, left) == (found, name, rest)


def test_a_command_is_one_however_many_names_it_has() -> None:
    made, first = Registry(), named("first", "one", "1")
    made.add(first)
    made.add(named("second"))
    assert [each.name for each in made] == ["first", "second"]
    assert len(made) == 2
    assert made.get("ONE") is made.get("first") is first
    assert made.get("third") is None


@pytest.mark.parametrize("names", [("first",), ("other", "first"), ("other", "one")])
def test_a_name_that_is_taken_is_refused_and_nothing_is_added(names: tuple[str, ...]) -> None:
    made = Registry()
    made.add(named("first", "one"))
    with pytest.raises(ValueError, match="is already registered"):
        made.add(named(*names))
    assert made.get("other") is None


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("pnig", ("ping",)),
        ("pin", ("ping",)),
        ("pingg", ("ping",)),
        ("PONG", ("ping",)),
        ("blackist_add", ("blacklist_add",)),
        ("balcklist_add", ("blacklist_add",)),
        ("blackist_ad", ()),
        ("task", ("task start", "task stop")),
        ("task strat", ("task start",)),
        ("qqqq", ()),
        ("", ()),
        ("x" * 4_000, ()),
    ],
)
def test_the_nearest_names_are_told(typed: str, near: tuple[str, ...]) -> None:
    assert registry("ping", "blacklist_add", "task start", "task stop").nearest(typed)[: len(near) or 2] == near


def test_finding_and_guessing_cost_the_same_with_10_and_with_1000_commands() -> None:
    random = Random(3)
    words = ["".join(random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(10)) for _ in range(1_000)]

    def seconds(made: Registry) -> float:
        made.nearest("warming up")
        spent = []
        for _ in range(5):
            started = time.perf_counter()
            for word in words[:10]:
                made.nearest(word[:-1] + "#")
                made.find(word)
            spent.append(time.perf_counter() - started)
        return min(spent)

    assert seconds(registry(*words)) < 5 * seconds(registry(*words[:10]))


# -- making -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("", {}, "one or two words"),
        ("a b c", {}, "one or two words"),
        ("a  b", {}, "one or two words"),
        ("a!", {}, "one or two words"),
        ("Ping", {}, "lower case"),
        ("ping", {"aliases": ["P"]}, "lower case"),
        ("ping", {"cooldown": -1}, "positive seconds"),
        ("ping", {"timeout": 0}, "positive seconds"),
        ("ping", {"permission": "everybody"}, "is not one of"),
        ("ping", {"concurrency": Concurrency(0)}, "would never let it run"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        command(name, **options)(nothing)


def test_a_docstring_describes_and_helps() -> None:
    made = named("nothing")
    assert (made.description, made.help) == ("Do nothing.", "At length.")
    assert repr(made) == "Command('nothing')"


async def everything(
    ctx: Context,
    who: UserRef,
    mode: Literal["soft", "hard"],
    length: Duration,
    count: Annotated[int, Meta(ge=1, le=5)] = 1,
    share: Annotated[float, Meta(gt=0)] | None = None,
    *,
    csv: bool = False,
) -> None: ...


async def rest(ctx: Context, file: Attachment, text: Rest) -> None: ...


async def many(ctx: Context, *words: str) -> None: ...


async def narrow(
    ctx: Context,
    a: Annotated[int, Meta(gt=0)],
    b: Annotated[int, Meta(le=5)],
    c: Annotated[float, Meta(gt=1, lt=2)],
    d: Annotated[int, Meta(lt=-3)],
    e: Annotated[Duration, DurationRange(minimum=1, maximum=30)],
    f: Annotated[Duration, DurationRange(minimum=86_400)],
    g: bool,
    h: GuildRef,
    i: ChannelRef,
    j: Annotated[str, Meta(pattern="^x+$", examples=["xx"])],
) -> None: ...


@pytest.mark.parametrize(
    ("handler", "usage", "example"),
    [
        (nothing, "it", "it"),
        (everything, "it <who> <soft|hard> <length> [count] [share] [--csv]", "it @42 soft 1h30m"),
        (rest, "it (attach file) <*text>", "it text"),
        (many, "it [words…]", "it words"),
    ],
)
def test_usage_and_an_example_come_from_the_signature(handler: Any, usage: str, example: str) -> None:
    made = command("it")(handler)
    assert (made.usage, made.example) == (usage, example)


@pytest.mark.parametrize("handler", [nothing, everything, many, narrow])
def test_an_example_is_one_that_works(handler: Any) -> None:
    made = command("it")(handler)
    made.signature.bind(made.example.partition(" ")[2], said("!it"))
