"""Who may command the bot on Discord, and how its owner hears of what concerns the owner."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import pytest

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, DiscordConfig, LogsConfig, StorageConfig, load
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.replies import Reply
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.logs import logging_to
from socbot.systems.notices import LOG
from socbot.testing import FakeClock, said
from socbot.transports.discord.transport import DiscordTransport
from tests.standin import Channel, Message, Permission, Person, Standin
from tests.transports.discord.conversation import MakeScene, Scene

ONLY_THE_OWNER = "Only the owner"
ONLY_ADMINISTRATORS = "Only an administrator of this guild"


@command("rule", permission="admin", metered=False)
async def rule(ctx: Context) -> str:
    """Something that administrators may do."""
    return "ruled"


@command("fail", permission="public", metered=False)
async def fail(ctx: Context) -> None:
    """Fails."""
    raise KeyError("a bug")


COMMANDS = (rule, fail)


# -- owners --------------------------------------------------------------------------------------------


async def test_the_owner_is_named_by_the_environment(
    make_scene: MakeScene, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = standin.user("boss")
    monkeypatch.setenv("BOT_OWNER_ID", boss.id)
    async with make_scene(bot=load(None).config.bot, owners=[]) as scene:
        scene.guild.joined_by(boss)
        assert "Bot statistics" in (await scene.says("!bot_stats", boss)).text
        assert ONLY_THE_OWNER in (await scene.says("!bot_stats", scene.owner)).text


@pytest.mark.parametrize("trusted", [True, False])
async def test_of_a_team_those_who_may_change_the_application_own_the_bot_if_the_operator_says_so(
    trusted: bool, make_scene: MakeScene, standin: Standin
) -> None:
    head, developer, reader, invited = (standin.user(name) for name in ("head", "developer", "reader", "invited"))
    standin.application.team = [head, developer, reader]
    standin.application.read_only, standin.application.invited_to_team = [reader], [invited]
    config = DiscordConfig(token=standin.token, team_owners=trusted, notify_start=False)
    async with make_scene(config, owners=[]) as scene:
        owners = []
        for person in (head, developer, reader, invited):
            scene.guild.joined_by(person)
            answer = await scene.says("!bot_stats", person)
            owners += [] if ONLY_THE_OWNER in answer.text else [person]
    assert owners == ([head, developer] if trusted else [])


async def test_without_a_team_the_applications_owner_is_the_bots_if_the_operator_says_so(
    make_scene: MakeScene, standin: Standin
) -> None:
    maker = standin.application.owner
    async with make_scene(DiscordConfig(token=standin.token, team_owners=True, notify_start=False)) as scene:
        assert ("discord", maker.id) in scene.bot.dispatcher.owners
        await scene.says("!uptime")
        refused = await scene.says(f"!blacklist_add user {maker.id} spam")
        assert "cannot be" in refused.text or "owner" in refused.text
        assert not scene.bot.blacklist.is_listed("user", ("discord", maker.id))


async def test_the_same_id_elsewhere_is_nobody(scene: Scene) -> None:
    for platform in ("local", "slack", "Discord"):
        outcome = await scene.bot.dispatch(said("!bot_stats", scene.owner.id, platform=platform))
        assert (outcome.status, outcome.refused_by) == ("refused", "permission")
    assert (await scene.bot.dispatch(said("!bot_stats", scene.owner.id, platform="discord"))).status == "ok"


# -- administrators ------------------------------------------------------------------------------------


@pytest.fixture
async def realm(make_scene: MakeScene) -> AsyncIterator[Scene]:
    async with make_scene(commands=COMMANDS) as scene:
        yield scene


async def slash(who: Person, place: Channel) -> str:
    return (await (await who.slash("rule", in_=place)).answer()).text


async def test_an_administrator_is_one_in_that_guild_alone(realm: Scene) -> None:
    king = realm.joined("king")
    realm.guild.role("crown", Permission.ADMINISTRATOR, king)
    abroad = realm.standin.guild("abroad", members=[king])
    await realm.standin.until(lambda: realm.bot.vitals.communities().startswith("2 guilds"))
    for place in (realm.place, realm.guild.thread("a thread")):
        assert (await realm.says("!rule", king, in_=place)).text == "ruled"
    assert ONLY_ADMINISTRATORS in (await realm.says("!rule", king, in_=abroad.general)).text
    assert ONLY_ADMINISTRATORS in (await realm.says("!rule", king, in_=king.dm)).text
    assert await slash(king, realm.place) == "ruled"
    assert ONLY_ADMINISTRATORS in await slash(king, king.dm)


async def test_the_owner_of_a_guild_is_its_administrator(realm: Scene) -> None:
    lord = realm.standin.world.users[realm.guild.owner_id]
    assert isinstance(lord, Person)
    assert (await realm.says("!rule", lord)).text == "ruled"
    assert await slash(lord, realm.place) == "ruled"


async def test_who_loses_the_role_is_no_administrator_from_then_on(realm: Scene) -> None:
    king = realm.joined("king")
    crown = realm.guild.role("crown", Permission.ADMINISTRATOR, king)
    assert (await realm.says("!rule", king)).text == "ruled"
    realm.guild.takes(king, crown)
    assert ONLY_ADMINISTRATORS in (await realm.says("!rule", king)).text
    realm.guild.gives(king, crown)
    assert (await realm.says("!rule", king)).text == "ruled"


async def test_a_role_that_loses_the_permission_makes_no_administrators_from_then_on(realm: Scene) -> None:
    king = realm.joined("king")
    crown = realm.guild.role("crown", Permission.ADMINISTRATOR, king)
    assert (await realm.says("!rule", king)).text == "ruled"
    realm.guild.role_may(crown, Permission.MANAGE_GUILD)
    assert ONLY_ADMINISTRATORS in (await realm.says("!rule", king)).text
    realm.guild.role_may(crown, Permission.ADMINISTRATOR)
    assert (await realm.says("!rule", king)).text == "ruled"


async def test_administrators_are_not_owners(realm: Scene) -> None:
    king = realm.joined("king")
    realm.guild.role("crown", Permission.ADMINISTRATOR, king)
    assert ONLY_THE_OWNER in (await realm.says("!bot_stats", king)).text
    assert ONLY_THE_OWNER in (await (await king.slash("bot_stats", in_=realm.place)).answer()).text


# -- notices -------------------------------------------------------------------------------------------


@pytest.fixture
def notified(standin: Standin) -> DiscordConfig:
    return DiscordConfig(token=standin.token, slash=False)


def told(place: Channel) -> list[str]:
    """The first lines of what the bot said there."""
    return [message.text.partition("\n")[0] for message in place.messages if message.by_bot]


async def until_told(standin: Standin, clock: FakeClock | None, place: Channel, title: str) -> Message:
    """Wait for a notice, let time pass meanwhile if there is a clock in hand; the notice."""

    def look() -> object:
        if clock is not None:
            clock.forward(0.5)
        return any(title in each for each in told(place))

    await standin.until(look, what=f"{title!r} beside {told(place)}")
    return next(message for message in reversed(place.messages) if title in message.text)


async def test_start_and_end_are_told_to_each_owner(
    make_scene: MakeScene, standin: Standin, notified: DiscordConfig
) -> None:
    boss, other = standin.user("boss"), standin.user("other")
    standin.world.dm(other)
    other.closes_dms()
    owners = [("discord", boss.id), ("discord", other.id), ("local", "owner")]
    async with make_scene(notified, owners=owners) as scene:
        start = await until_told(standin, None, boss.dm, "Startup Complete")
        assert "Guilds\n1" in start.text
        assert "blacklist → rate_limit" in start.text
        scene.bot.lifecycle.stop()
    assert told(boss.dm) == ["Startup Complete", "Shutting Down"]
    assert told(other.dm) == []


async def test_a_critical_error_is_told(make_scene: MakeScene, standin: Standin, notified: DiscordConfig) -> None:
    async with make_scene(notified, commands=COMMANDS, jobs=True) as scene:
        await scene.says("!fail", scene.stranger)
        notice = await until_told(standin, None, scene.owner.dm, "Critical Error Detected")
        assert "KeyError" in notice.text
        assert "fail" in notice.text
        assert notice.pings == []


async def test_a_high_error_rate_and_its_end_are_told(
    make_scene: MakeScene, standin: Standin, notified: DiscordConfig, clock: FakeClock
) -> None:
    async with make_scene(notified, commands=COMMANDS, jobs=True, clock=clock) as scene:
        for _ in range(5):
            await scene.says("!fail", scene.stranger)
        await until_told(standin, clock, scene.owner.dm, "High Error Rate Detected")
        clock.forward(300.0)
        over = await until_told(standin, clock, scene.owner.dm, "Error Rate Back to Normal")
        assert "5 errors since" in over.text


@pytest.mark.promise("P44")
async def test_a_storm_of_errors_makes_at_most_three_notices(
    make_scene: MakeScene, standin: Standin, notified: DiscordConfig, clock: FakeClock
) -> None:
    async with make_scene(notified, commands=COMMANDS, jobs=True, clock=clock) as scene:
        await until_told(standin, None, scene.owner.dm, "Startup Complete")
        for number in range(1_000):
            await scene.bot.dispatch(said("!fail", str(number), platform="discord"))
            clock.forward(0.06)
        await until_told(standin, clock, scene.owner.dm, "High Error Rate Detected")
        clock.forward(300.0)
        over = await until_told(standin, clock, scene.owner.dm, "Error Rate Back to Normal")
        assert "1000 errors since" in over.text
        assert 1 <= len(told(scene.owner.dm)) - 1 <= 3


class WithABrokenJob(Bot):
    """A bot one of whose jobs fails each time."""

    def jobs(self) -> tuple[Job, ...]:
        async def broken() -> None:
            raise OSError("no such disk")

        return (*super().jobs(), Job("copies", broken, Every(1.0)))


@asynccontextmanager
async def online(standin: Standin, bot: Bot) -> AsyncIterator[Bot]:
    """A bot that is on Discord, and is cut short at the end."""
    sessions = len(standin.gateway.identifies)
    async with bot, anyio.create_task_group() as tasks:
        tasks.start_soon(DiscordTransport(bot).run)
        await standin.gateway.identified(sessions + 1)
        yield bot
        tasks.cancel_scope.cancel()


@pytest.fixture
def make(
    tmp_path: Path, standin: Standin, notified: DiscordConfig, clock: FakeClock
) -> Callable[[type[Bot], Person], Bot]:
    """Bots with one store."""
    storage, backup = StorageConfig(url=f"sqlite:///{tmp_path}/socbot.db"), BackupConfig(enabled=False)
    config = Config(storage=storage, discord=notified, backup=backup)
    return lambda kind, owner: kind.from_config(config, owners=[("discord", owner.id)], clock=clock, random=Random(1))


async def test_a_job_that_has_failed_is_told(
    make: Callable[[type[Bot], Person], Bot], standin: Standin, clock: FakeClock
) -> None:
    owner = standin.user("owner")
    standin.guild("guild", members=[owner])
    async with online(standin, make(WithABrokenJob, owner)):
        notice = await until_told(standin, clock, owner.dm, "Job copies has failed")
        assert "no such disk" in notice.text


@pytest.mark.promise("P42")
async def test_a_webhook_whose_pause_nobody_was_told_of_is_told_at_the_start(
    make: Callable[[type[Bot], Person], Bot], standin: Standin
) -> None:
    owner = standin.user("owner")
    standin.guild("guild", members=[owner])
    gone = "UPDATE webhooks SET state = 'paused', state_reason = 'it is no more: 404 *Not* Found'"
    async with make(Bot, owner) as bot:
        for name in ("siem", "team"):
            await bot.webhooks.add(name, "custom", "https://hooks.example.org/x", (), "test:1")
        # As a bot leaves it that is killed between the pause and the notice of it.
        await bot.database.write(lambda connection: connection.change(gone + " WHERE name = 'siem'"))
    async with online(standin, make(Bot, owner)):
        start = await until_told(standin, None, owner.dm, "Startup Complete")
        assert "Webhook siem is paused: it is no more: 404" in start.text
        assert "team" not in start.text


@pytest.mark.slow
async def test_a_crash_loop_tells_one_start_in_ten_minutes(
    make: Callable[[type[Bot], Person], Bot], standin: Standin, clock: FakeClock
) -> None:
    owner = standin.user("owner")
    standin.guild("guild", members=[owner])
    for untold in range(3):
        clock.forward(60.0)
        async with online(standin, make(Bot, owner)) as bot:
            await until_noted(bot, untold)
            await until_told(standin, None, owner.dm, "Startup Complete")
    assert told(owner.dm) == ["Startup Complete"]
    clock.forward(600.0)
    async with online(standin, make(Bot, owner)) as bot:
        await standin.until(lambda: len(told(owner.dm)) == 2, what="another notice")
    assert "2 starts before this one were not told" in owner.dm.messages[-1].text


async def until_noted(bot: Bot, untold: int) -> None:
    """Wait until so many starts were kept from the owner."""
    with anyio.fail_after(5):
        while str(untold) not in await noted(bot):
            continue


async def noted(bot: Bot) -> list[str]:
    rows = await bot.database.read(
        lambda db: db.execute("SELECT value FROM settings WHERE key LIKE 'starts.%'"),
    )
    return [value for (value,) in rows]


async def test_a_restart_in_order_is_told_however_soon(
    make_scene: MakeScene, standin: Standin, notified: DiscordConfig, clock: FakeClock
) -> None:
    owner = standin.user("boss")
    for starts in (1, 2):
        clock.forward(30.0)
        async with make_scene(notified, owners=[("discord", owner.id)], clock=clock) as scene:
            await standin.until(lambda starts=starts: told(owner.dm).count("Startup Complete") == starts)  # type: ignore[misc]
            await until_noted(scene.bot, 0)
    assert told(owner.dm) == ["Startup Complete", "Shutting Down"] * 2


async def test_a_notice_goes_by_the_first_way_that_works(
    make_scene: MakeScene, standin: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    ops = standin.guild("ops")
    desk, hook = ops.general, ops.webhook(ops.channel("by hook"))
    hook.token = "t" * 68
    config = DiscordConfig(
        token=standin.token,
        slash=False,
        notify_start=False,
        notice_channel=desk.id,
        notice_webhook=f"https://discord.com/api/webhooks/{hook.id}/{hook.token}",
    )
    async with make_scene(config) as scene:
        notify, inbox = scene.bot.notify, scene.owner.dm
        await notify(Reply("@everyone", "First"))
        scene.owner.closes_dms()
        await notify(Reply("@everyone", "Second"))
        desk.denies(ops.everyone, Permission.SEND_MESSAGES)
        desk.denies(ops.bot.roles[0], Permission.SEND_MESSAGES)
        await notify(Reply("@everyone", "Third"))
        hook.deleted = True
        await notify(Reply("@everyone", "Fourth"))
        scene.owner.dms_open = True
        await notify(Reply("@everyone", "Fifth"))
        assert [told(place) for place in (inbox, desk, hook.channel)] == [["First", "Fifth"], ["Second"], ["Third"]]
        assert not any(message.pings for place in (inbox, desk, hook.channel) for message in place.messages)
        assert scene.bot.notices.delivery.delivered == {"direct message": 2, "channel": 1, "webhook": 1, LOG: 1}
    assert "for the owner: Fourth" in caplog.text


@pytest.mark.promise("P11")
@pytest.mark.parametrize("works", [True, False])
async def test_the_webhook_of_notices_is_in_no_log_and_no_answer(
    works: bool, make_scene: MakeScene, standin: Standin, tmp_path: Path
) -> None:
    ops = standin.guild("ops")
    hook = ops.webhook()
    hook.token, hook.deleted = "t0k" + "x" * 65, not works
    url = f"https://discord.com/api/webhooks/{hook.id}/{hook.token}"
    config = DiscordConfig(token=standin.token, slash=False, notify_start=False, notice_webhook=url)
    log = tmp_path / "bot.log"
    async with make_scene(config) as scene:
        scene.owner.closes_dms()
        with logging_to(LogsConfig(level="DEBUG", file=str(log)), scene.bot.redactor):
            await scene.bot.notify(Reply("Something", "Notice"))
            scene.owner.dms_open = True
            await scene.says("!config discord", in_=scene.owner.dm)
            await scene.says("!config discord.notice_webhook", in_=scene.owner.dm)
            await scene.says("!bot_stats", in_=scene.owner.dm)
        assert ("webhook" in scene.bot.notices.delivery.delivered) == works
        failures = str(scene.bot.notices.delivery.failures)
    assert "webhook" in log.read_text()
    answers = "".join(message.text for message in scene.owner.dm.messages)
    for place in (log.read_text(), answers, failures, repr(scene.bot.config)):
        assert hook.token[:20] not in place
        assert standin.token not in place
