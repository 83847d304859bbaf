"""Three hundred files that cannot be config.yaml: every way to break a good one, at many places of it."""

from collections.abc import Iterator
from random import Random

from tests.test_config import BROKEN

ARRANGEMENTS: dict[str, str] = {
    "unknown middleware": "middleware: [blacklist, rate_limit, no_such_thing]\n",
    "a middleware twice": "middleware: [blacklist, rate_limit, profiler, blacklist]\n",
    "no guard": "middleware: [profiler, analytics, error_capture]\n",
    "one guard missing": "middleware: [rate_limit, profiler]\n",
    "the other guard missing": "middleware: [blacklist, profiler]\n",
    "no middleware": "middleware: []\n",
    "nowhere to be found": "middleware: [blacklist, rate_limit, 'socbot.nowhere:Thing']\n",
    "no attribute": "middleware: [blacklist, rate_limit, 'socbot.testing:Nothing']\n",
    "no middleware at all": "middleware: [blacklist, rate_limit, 'socbot.testing:OWNER']\n",
    "options that it does not take": "middleware: [blacklist, rate_limit, {use: profiler, with: {colour: red}}]\n",
    "a guard made an observer": "middleware: [blacklist, {use: rate_limit, kind: observer}]\n",
    "a mapping for a list": "middleware: {blacklist: on}\n",
    "a number for a name": "middleware: [blacklist, rate_limit, 7]\n",
    "a cooldown of no command": "rate_limit: {cooldowns: {no_such_command: 5s}}\n",
    "a job that is none": "jobs: {jobs: {no_such_job: {enabled: false}}}\n",
    "a cycle": "bot: &bot {name: *bot}\n",
    "an alias bomb": "a: &a [x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n",
    "10 MB": "bot: {name: '" + "x" * 10_000_000 + "'}\n",
    "a deep list": "a: " + "[" * 100_000,
    "a byte order mark in the middle": "bot:\n  name: x\n\ufeffweb: {port: 1}\n",
}

_WRONG = ("[[x]]", "{a: 1}", "-1", "!!int x", "9" * 400, "[{}]")


def _lines(text: str) -> list[str]:
    """The lines of ``text`` that say something, without comments."""
    lines = (line.partition("  #")[0].rstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def _spoilt(lines: list[str], at: int, how: int, random: Random) -> str:
    line = lines[at]
    indent = " " * (len(line) - len(line.lstrip()))
    broken = (
        [f"{indent}: : :", line],  # syntax
        [f"{indent}no_such_key: 1", line],
        [line, f"{indent}-" if line.lstrip().startswith("-") else line],  # an item that is nothing, a key twice
        ["\t" + line.lstrip()],
        [line.partition(":")[0] + ": " + random.choice(_WRONG)],
        [line, "}"],
        [line, f'{indent}{{["half'],
        [line.partition(":")[0] + ": &anchor 1"],
        [line.partition(":")[0] + ": !!python/name:os.system x"],
    )[how % 9]
    return "\n".join([*lines[:at], *broken, *lines[at + 1 :]]) + "\n"


def broken_configs(good: str, count: int) -> Iterator[tuple[str, str]]:
    """``count`` broken files with what is wrong in each, most of them made of ``good``."""
    yield from ARRANGEMENTS.items()
    yield from ((what, text) for what, (text, _) in BROKEN.items())
    lines, random = _lines(good), Random(28)
    for number in range(count - len(ARRANGEMENTS) - len(BROKEN)):
        yield (
            f"way {number % 9} of spoiling line {number}",
            _spoilt(lines, random.randrange(len(lines)), number, random),
        )
