"""What the log says again and again."""

import pytest

from socbot.config import StorageConfig
from socbot.storage.database import Database
from socbot.systems import log_templates
from socbot.systems.log_templates import MOST, Templates
from socbot.testing import FakeClock

NOW = 1_700_000_000.0
USERS = ("bob", "eve", "ann", "joe")


def commands(count: int, at: float = NOW) -> list[tuple[float, str, str]]:
    return [(at, "soc_bot", f"[COMMAND] {USERS[n % 4]} ({n}) -> ping in guild ({n})") for n in range(count)]


def test_messages_that_differ_in_names_and_numbers_are_one_template() -> None:
    templates = Templates()
    templates.learn([*commands(100), (NOW, "http", "took 12 ms"), (NOW + 5, "http", "took 13 ms")])
    first, second = templates.commonest(9)
    assert (first.count, first.text) == (100, "soc_bot: [COMMAND] # (#) -> ping in guild (#)")
    assert (second.count, second.text, second.first_at, second.last_at) == (2, "http: took # ms", NOW, NOW + 5)


def test_what_is_new_is_what_was_first_said_of_late() -> None:
    templates = Templates()
    templates.learn([(NOW - 90_000, "a", "the old thing")])
    templates.learn([(NOW, "a", "the old thing"), (NOW - 5, "b", "quite another happening here")])
    assert [each.text for each in templates.new(NOW - 86_400, 9)] == ["b: quite another happening here"]


def test_a_template_bursts_when_it_is_said_far_more_often_than_usual() -> None:
    templates = Templates()
    for minute in range(0, 120, 5):
        at = NOW - 7_200 + minute * 60
        templates.learn([*commands(30, at), (at, "disk", "write failed badly on device")])
    assert templates.bursting(NOW, 9) == []
    templates.learn([(NOW, "disk", "write failed badly on device")] * 50)
    (burst,) = templates.bursting(NOW, 9)
    assert (burst.template.text, burst.count) == ("disk: write failed badly on device", 51)
    assert 0.5 < burst.usual < 1.5
    assert templates.bursting(NOW + 900, 9) == []


def test_endless_variety_is_bounded() -> None:
    templates = Templates()
    words = [f"{a}{b}{c}" for a in "abcdefghijkl" for b in "mnopqrstuvwx" for c in "abcdefghijkl"]
    templates.learn((NOW + n, word, f"{word} {word[::-1]} {word}") for n, word in enumerate(words))
    assert len(templates.commonest(9_999)) <= MOST < len(words)


async def kept(storage: StorageConfig, templates: Templates, now: float = NOW) -> None:
    async with Database.open(storage, FakeClock()) as database:
        changed = templates.unsaved()
        await database.write(lambda connection: log_templates.write(connection, changed, now))
        log_templates.saved(changed)


async def known(storage: StorageConfig) -> Templates:
    async with Database.open(storage, FakeClock()) as database:
        return Templates(await database.read(log_templates.read))


async def test_what_was_said_before_a_restart_is_not_new_after_it(either_storage: StorageConfig) -> None:
    before = Templates()
    before.learn([(NOW - 90_000, "soc_bot", "[COMMAND] bob (1) -> ping in guild (1)")])
    await kept(either_storage, before)
    after = await known(either_storage)
    after.learn(commands(10))
    assert after.new(NOW - 86_400, 9) == []
    (only,) = after.commonest(9)
    assert (only.count, only.first_at, only.last_at) == (11, NOW - 90_000, NOW)


@pytest.mark.parametrize("restarts", [1, 3])
async def test_a_template_that_gets_more_general_is_renamed_not_doubled(storage: StorageConfig, restarts: int) -> None:
    templates = Templates()
    for number, user in enumerate(USERS):
        templates.learn([(NOW, "soc_bot", f"[COMMAND] {user} (1) -> ping in guild (1)")])
        await kept(storage, templates)
        if number < restarts:
            templates = await known(storage)
    (only,) = (await known(storage)).commonest(9)
    assert (only.count, only.text) == (4, "soc_bot: [COMMAND] # (#) -> ping in guild (#)")


async def test_what_is_not_said_any_more_is_forgotten(storage: StorageConfig) -> None:
    templates = Templates()
    templates.learn([(NOW, "a", "said once")])
    await kept(storage, templates)
    templates.learn([(NOW + 31 * 86_400, "b", "said later on")])
    await kept(storage, templates, NOW + 31 * 86_400)
    assert [each.text for each in (await known(storage)).commonest(9)] == ["b: said later on"]
