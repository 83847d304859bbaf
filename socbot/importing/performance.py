"""The older bot's ``performance_profile.json``: counts, least, mean and most of each command, and its slow runs.

Percentiles were not kept, and cannot be made of these: what is shown of them stands at the mean.
"""

import math
from collections.abc import Iterator
from typing import Any

from socbot.importing.documents import name_of
from socbot.importing.fields import count_of, id_of, keyed, listing, mapping, seconds_of, strangers
from socbot.importing.report import Note, Part, judged, refused
from socbot.importing.world import PLATFORM, World
from socbot.systems.profiler import COMMAND, Profile, SlowRun, add_profiles, add_slow_runs
from socbot.systems.sketch import Sketch

_OF_COMMAND = ("count", "total_time", "avg_time", "min_time", "max_time")
_OF_RUN = ("command", "time", "timestamp", "user_id", "guild_id")
_HOUR = 3600.0
_CLOSE = 0.01


def read(document: dict[str, Any], world: World) -> Iterator[Part | Note]:
    """Each command's figures, as of when the file was saved, and each slow run."""
    yield from strangers([document], ("command_stats", "slow_commands"))
    stats, wrong = mapping(document, "command_stats")
    yield from wrong
    yield from strangers(stats.values(), _OF_COMMAND, " of command_stats")
    for name, raw in stats.items():
        yield _command(name, raw, world)
    if stats:
        yield Note("percentiles were not kept: those that are shown of these runs stand at their mean")
    runs, wrong = listing(document, "slow_commands")
    yield from wrong
    yield from strangers(runs, _OF_RUN, " of slow_commands")
    for number, each in enumerate(keyed(runs), 1):
        yield _slow_run(f"slow run {number}", *each, world)


def _command(name: str, raw: Any, world: World) -> Part:
    record = f"command {name[:60]}"
    if not isinstance(raw, dict):
        return refused(record, f"a map was expected, not {name_of(raw)}")
    count = count_of(raw.get("count"))
    least, most, total = (seconds_of(raw.get(key)) for key in ("min_time", "max_time", "total_time"))
    if not name or len(name) > 100 or count is None:
        return refused(record, "it has no count")
    if not count:
        return refused(record, "it was never run")
    if least is None or most is None or total is None or least > most:
        return refused(record, "its times are none")
    corrections = []
    if not count * least * (1 - _CLOSE) <= total <= count * most * (1 + _CLOSE):
        corrections.append("its total lies outside of what its least and most allow: brought within")
    total = min(max(total, count * least), count * most)
    sketch = sketched(count, total, least, most)
    profile = Profile(world.text(name, 100), COMMAND, "ok", sketch, int(world.saved_at // _HOUR))
    return Part(f"command:{name}", raw, (judged(record, corrections),),
                lambda connection: add_profiles(connection, [profile]))  # fmt: skip


def sketched(count: int, total: float, least: float, most: float) -> Sketch:
    """A sketch of ``count`` runs of which only these are known: one is the least, one the most, the others alike."""
    sketch = Sketch()
    if count == 1:
        sketch.add([total])
        return sketch
    sketch.add([least, most])
    if count > 2:
        mean = min(max((total - least - most) / (count - 2), least), most)
        sketch.merge(repeated(mean, count - 2))
    return sketch


def repeated(seconds: float, count: int) -> Sketch:
    """``count`` runs of the same length, in a number of steps that grows with the logarithm of ``count``."""
    made, doubled = Sketch(), Sketch()
    doubled.add([seconds])
    for bit in range(math.ceil(math.log2(count + 1))):
        if count >> bit & 1:
            made.merge(doubled)
        doubled.merge(Sketch.from_bytes(doubled.to_bytes()))
    return made


def _slow_run(record: str, key: str, raw: Any, world: World) -> Part:
    if not isinstance(raw, dict):
        return refused(record, f"a map was expected, not {name_of(raw)}")
    at, seconds, command = world.past(raw.get("timestamp")), seconds_of(raw.get("time")), raw.get("command")
    if at is None or seconds is None or not isinstance(command, str) or not command:
        return refused(record, "it has no command, time or timestamp that can be read")
    corrections = [
        f"its {name} is no Discord id: none"
        for name in ("user_id", "guild_id")
        if raw.get(name) is not None and id_of(raw[name]) is None
    ]
    run = SlowRun(
        at, world.text(command, 100), seconds, PLATFORM, world.subject(raw.get("user_id")),
        id_of(raw.get("guild_id")) or "", "",
    )  # fmt: skip
    keep = world.config.profiler.slow_runs
    return Part(f"run:{key}", raw, (judged(record, corrections),),
                lambda connection: add_slow_runs(connection, [run], keep))  # fmt: skip
