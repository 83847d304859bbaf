"""Incidents and webhooks as people meet them on Discord."""

from tests.conftest import MakeBot
from tests.standin import Permission, Person, Standin
from tests.transports.discord.conversation import Scene, on_stage

ADDRESS = "https://discord.com/api/webhooks/123456789012345678/aVerySecretTokenOfTheWebhook1a2b"


async def test_an_administrator_uses_the_groups_and_is_offered_the_own_guilds_incidents(
    make_bot: MakeBot, standin: Standin
) -> None:
    async with on_stage(make_bot, standin) as scene:
        scene.guild.role("staff too", Permission.ADMINISTRATOR, scene.stranger)
        answer = await (await scene.stranger.slash("incident open", severity="high", title="raid")).answer()
        assert "raid" in answer.text
        [incident] = await scene.bot.incidents.newest("incident")
        assert incident.id in await scene.stranger.completes("incident note", id="")
        elsewhere = standin.guild("elsewhere", owner=standin.user("somebody else"))
        somebody = standin.world.users[elsewhere.owner_id]
        assert isinstance(somebody, Person)
        somebody.at = elsewhere.general
        assert list(await somebody.completes("incident note", id="")) == ["last"]
        answer = await (await scene.stranger.slash("incident note", id="last", text="ten accounts")).answer()
        assert incident.id in answer.text
        assert "critical" in await scene.stranger.completes("signals alert", severity="c")


async def test_an_address_that_was_typed_is_deleted_and_answered_in_private(
    make_bot: MakeBot, standin: Standin
) -> None:
    async with on_stage(make_bot, standin) as scene:
        said = await scene.owner.says(f"!add_webhook ops discord {ADDRESS}", in_=scene.place)
        await standin.until(lambda: said.deleted, what="the message's being deleted")
        answer = await standin.message(in_=scene.owner.dm)
        assert "Webhook added" in answer.text
        await nothing_shows_the_address(scene)


async def test_by_slash_an_address_is_asked_for_in_a_form(make_bot: MakeBot, standin: Standin) -> None:
    async with on_stage(make_bot, standin) as scene:
        asked = await (
            await scene.owner.slash("webhook add", name="ops", type="discord", triggers="alert drill")
        ).answer()
        assert asked.modal is not None
        done = await (await scene.owner.submits(asked, url=ADDRESS)).answer()
        assert done.ephemeral
        assert "alert, drill" in done.text
        assert scene.bot.webhooks.get("ops").triggers == ("alert", "drill")
        assert "ops" in await scene.owner.completes("webhook info", name="")
        await nothing_shows_the_address(scene)


async def nothing_shows_the_address(scene: Scene) -> None:
    await scene.says("!list_webhooks")
    assert not any("aVerySecretToken" in str(request) for request in scene.standin.requests)
