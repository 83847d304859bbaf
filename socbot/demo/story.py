"""What happens on the last day, hour by hour, beside what people say by themselves."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from socbot.demo.people import ADMINISTRATOR, HOUR, SPAMMERS

if TYPE_CHECKING:
    from socbot.demo.playing import Stage

Act: TypeAlias = Callable[["Stage"], Awaitable[None]]


class Beat(Struct, frozen=True):
    """Something that happens.

    :param before: hours before the present
    """

    before: float
    act: Act

    @property
    def seconds(self) -> float:
        return self.before * HOUR


def story() -> Iterator[Beat]:
    """The last day."""
    yield Beat(23.9, owner("!backup_now hourly", "!backup_config set hourly on", "!health_config set interval 5m"))
    yield Beat(23.7, owner("!blacklist_temp user user-77 3d advertising in every channel"))
    yield Beat(23.2, owner("!backup_drill"))
    yield from spam(SPAMMERS[0], 22.5)
    yield Beat(20.0, administrator("!drill start phishing Everybody gets a letter that is not ours"))
    yield Beat(19.4, administrator("!drill end Two of forty followed the link"))
    yield Beat(17.5, world("ranking", 0.7))
    yield from the_map_server()
    yield from the_wind()
    yield Beat(8.5, owner("!log_level harbour DEBUG"))
    yield Beat(7.8, world("ranking", 1.3))
    yield from spam(SPAMMERS[1], 7.0)
    yield Beat(6.2, owner("!blacklist_remove user user-77 said sorry"))
    yield from the_raid()
    yield Beat(4.2, reordered)
    yield Beat(4.1, owner("!pipeline"))
    yield Beat(3.6, world("ranking", 2.4))
    yield Beat(3.0, owner("!backup_now", "!verify_backup newest"))
    yield Beat(2.1, quotes_fail)
    yield Beat(1.2, administrator("!alert low Somebody asks for passwords in private messages"))
    yield Beat(0.7, owner("!performance", "!error_dashboard", "!webhook_stats"))


def the_map_server() -> Iterator[Beat]:
    """The map server gets slow while the operators' webhook is down, so that nobody hears of it at once."""
    yield Beat(15.2, receiver(broken=True))
    yield Beat(15.0, world("map_server", 390.0))
    yield Beat(14.6, world("map_server", 1_250.0))
    yield Beat(14.5, administrator("!alert high The map server does not answer"))
    yield Beat(13.7, world("map_server", 47.0))
    yield Beat(13.1, receiver(broken=False))
    yield Beat(12.9, owner("!test_webhook ops"))
    yield Beat(12.7, sent_again)


def the_wind() -> Iterator[Beat]:
    """A reading that the stations no longer send breaks a command, until it is mended."""
    yield Beat(11.0, world("stations_lack", "wind"))
    for minute in range(12):
        yield Beat(10.98 - minute * 0.09, says(f"user-{5 + minute % 5}", "!weather lighthouse"))
    yield Beat(9.8, world("stations_lack", ""))
    yield Beat(9.7, resolved)


def the_raid() -> Iterator[Beat]:
    """An incident, from its opening to its end."""
    yield Beat(5.9, administrator("!incident open critical Thirty accounts joined within a minute"))
    yield Beat(5.85, administrator("!incident note last All of them were made today"))
    yield Beat(5.7, owner("!blacklist_add user user-80 raid", "!blacklist_add user user-81 raid"))
    yield Beat(
        5.6, owner("!incident note last The two that wrote are listed, the others were asked to prove themselves")
    )
    yield Beat(5.1, administrator("!incident close last Quiet since half an hour"))


def spam(author: str, before: float) -> Iterator[Beat]:
    """Somebody who does not stop when warned, nor after a timeout."""
    for round in range(4):
        yield Beat(before - round * 0.12, flood(author))


# -- what an act is -----------------------------------------------------------------------------------


def says(author: str, text: str) -> Act:
    async def act(stage: "Stage") -> None:
        await stage.says(text, author)

    return act


def owner(*texts: str) -> Act:
    async def act(stage: "Stage") -> None:
        for text in texts:
            await stage.owner_says(text)

    return act


def administrator(text: str) -> Act:
    async def act(stage: "Stage") -> None:
        await stage.must(text, ADMINISTRATOR)

    return act


def world(name: str, value: float | str) -> Act:
    async def act(stage: "Stage") -> None:
        setattr(stage.world, name, value)

    return act


def receiver(*, broken: bool) -> Act:
    async def act(stage: "Stage") -> None:
        stage.receiver.broken = broken

    return act


def flood(author: str) -> Act:
    async def act(stage: "Stage") -> None:
        for _ in range(12):
            await stage.says("!roll 20d100", author)
            stage.clock.leap(0.4)

    return act


async def sent_again(stage: "Stage") -> None:
    """One of the deliveries that were given up is sent again, the others are not needed any more."""
    dead = await stage.bot.webhooks.deliveries("ops", "dead")
    await stage.owner_says(f"!webhook_retry {dead[0].id}")


async def resolved(stage: "Stage") -> None:
    newest = await stage.bot.errors.newest(1)
    await stage.owner_says(f"!error_resolve {newest[0].group_id}")


async def quotes_fail(stage: "Stage") -> None:
    stage.world.quotes_down = True
    for number in (12, 19, 23):
        await stage.says("!quote", f"user-{number}")
        stage.clock.leap(50.0)
    stage.world.quotes_down = False


async def reordered(stage: "Stage") -> None:
    """The operator swaps two lines of the chain and has the file read again."""
    text = stage.config_path.read_text()
    stage.config_path.write_text(text.replace("  - profiler\n  - analytics\n", "  - analytics\n  - profiler\n"))
    await stage.owner_says("!reload")
