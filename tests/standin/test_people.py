"""Interactions: what Discord's client lets people do, and how a bot may answer."""

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest

from tests.standin import Guild, Permission, Person, Standin
from tests.standin.conftest import Client, Connect

COMMANDS: list[dict[str, Any]] = [
    {
        "name": "tool",
        "description": "tools",
        "options": [
            {
                "name": "use",
                "type": 1,
                "description": "use a tool",
                "options": [
                    {"name": "count", "type": 4, "description": "how many", "required": True, "max_value": 5},
                    {"name": "who", "type": 6, "description": "for whom"},
                    {"name": "way", "type": 3, "description": "how", "choices": [{"name": "Fast", "value": "f"}]},
                    {"name": "part", "type": 3, "description": "which", "autocomplete": True, "max_length": 5},
                    {"name": "in-file", "type": 11, "description": "what"},
                ],
            }
        ],
    },
    {"name": "admin", "description": "for few", "default_member_permissions": "8", "contexts": [0]},
    {"name": "Look up", "type": 2},
]
ROW = {
    "type": 1,
    "components": [
        {"type": 2, "style": 1, "label": "Next", "custom_id": "next"},
        {"type": 2, "style": 1, "label": "Back", "custom_id": "back", "disabled": True},
    ],
}
QUIET: dict[str, Any] = {"allowed_mentions": {"parse": []}}


class Using(Client):
    """It notes how it is used, and answers with what it was given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.used: list[discord.Interaction] = []
        self.answers: list[dict[str, Any]] = []

    async def setup_hook(self) -> None:
        await self.http.bulk_upsert_global_commands(self.application_id or 0, COMMANDS)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.used.append(interaction)
        for answer in self.answers[:1]:
            assert await self.answer(interaction, answer) == 200

    async def answer(self, interaction: discord.Interaction, body: dict[str, Any]) -> int:
        """POST a callback as it is, and return the status."""
        path = f"/interactions/{interaction.id}/{interaction.token}/callback?with_response=true"
        return await self.ask("POST", path, body)

    async def ask(self, method: str, path: str, body: dict[str, Any]) -> int:
        url = discord.http.Route.BASE + path
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
            return response.status


@pytest.fixture
async def client(connect: Connect) -> AsyncIterator[Client]:
    async with connect(Using) as client:
        yield client


@pytest.fixture
def alice(standin: Standin) -> Person:
    return standin.user("alice")


@pytest.fixture
def bob(standin: Standin) -> Person:
    return standin.user("bob")


@pytest.fixture
def guild(standin: Standin, alice: Person, bob: Person) -> Guild:
    return standin.guild("g", owner=alice, members=[bob])


def said(content: str, **more: Any) -> dict[str, Any]:
    return {"type": 4, "data": {"content": content} | QUIET | more}


async def test_a_slash_command_arrives_as_it_was_typed(client: Using, guild: Guild, alice: Person, bob: Person) -> None:
    client.answers = [said("done", flags=64)]
    use = await alice.slash("tool use", count=3, who=bob, way="Fast", in_file=("a.txt", b"12"), in_=guild.general)
    answer = await use.answer()
    assert (answer.text, answer.ephemeral, answer.deferred) == ("done", True, False)
    data: Any = client.used[0].data
    assert data["options"][0]["name"] == "use"
    assert {option["name"]: option["value"] for option in data["options"][0]["options"]} == {
        "count": 3,
        "who": bob.id,
        "way": "f",
        "in-file": next(iter(data["resolved"]["attachments"])),
    }
    assert data["resolved"]["members"][bob.id]["permissions"] == str(guild.permissions_of(bob))
    assert isinstance(client.used[0].user, discord.Member)
    assert client.used[0].user.guild_permissions.administrator


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "requires"),
        ({"count": 6}, "out of bounds"),
        ({"count": "6"}, "no value"),
        ({"count": True}, "no value"),
        ({"count": 1, "way": "slow"}, "none of"),
        ({"count": 1, "who": "12"}, "no '12'"),
        ({"count": 1, "part": "too long"}, "out of bounds"),
        ({"count": 1, "other": "x"}, "no option"),
    ],
)
async def test_what_the_client_would_not_send_is_not_sent(
    client: Using, guild: Guild, alice: Person, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        await alice.slash("tool use", in_=guild.general, **options)


@pytest.mark.parametrize("path", ["tool", "tool break", "nothing", "tool use more", "Look up"])
async def test_only_registered_commands_can_be_used(client: Using, guild: Guild, alice: Person, path: str) -> None:
    with pytest.raises(AssertionError):
        await alice.slash(path, in_=guild.general)


async def test_what_needs_permissions_is_offered_to_those_who_have_them(
    client: Using, guild: Guild, alice: Person, bob: Person
) -> None:
    assert (alice.offered(guild.general), bob.offered(guild.general)) == (["admin", "tool"], ["tool"])
    assert alice.offered(alice.dm) == ["tool"]
    guild.role("admins", Permission.ADMINISTRATOR, bob)
    assert bob.offered(guild.general) == ["admin", "tool"]


async def test_suggestions_come_while_typing(client: Using, guild: Guild, alice: Person) -> None:
    client.answers = [{"type": 8, "data": {"choices": [{"name": "One", "value": "1"}]}}]
    assert await alice.completes("tool use", part="o", in_=guild.general) == {"One": "1"}
    data: Any = client.used[0].data
    assert data["options"][0]["options"] == [{"name": "part", "type": 3, "value": "o", "focused": True}]
    with pytest.raises(AssertionError, match="no autocompletion"):
        await alice.completes("tool use", way="f")


async def test_a_context_menu_names_its_target(client: Using, guild: Guild, alice: Person, bob: Person) -> None:
    client.answers = [said("bob")]
    await (await alice.menu("Look up", target=bob, in_=guild.general)).answer()
    data: Any = client.used[0].data
    assert (data["type"], data["target_id"], [*data["resolved"]["users"]]) == (2, bob.id, [bob.id])


async def test_a_deferred_answer_is_what_comes_later(client: Using, guild: Guild, alice: Person) -> None:
    client.answers = [{"type": 5, "data": {"flags": 64}}]
    use = await alice.slash("tool use", count=1, in_=guild.general)
    assert (await use.acknowledged()).deferred
    assert not use.interaction.is_answered
    await client.used[0].followup.send("later")
    answer = await use.answer()
    assert (answer.text, answer.ephemeral, answer.deferred) == ("later", True, True)
    await client.used[0].edit_original_response(content="later still")
    assert [state["content"] for state in answer.message.history] == ["", "later"]


async def test_a_public_answer_is_in_the_channel_and_a_private_one_is_not(
    standin: Standin, client: Using, guild: Guild, alice: Person
) -> None:
    for flags in (0, 64):
        client.answers = [said(f"flags {flags}", flags=flags)]
        await (await alice.slash("tool use", count=1, in_=guild.general)).answer()
    assert [message.text for message in guild.general.messages] == ["flags 0"]
    assert (await standin.message(in_=guild.general)).text == "flags 0"


async def test_it_is_answered_once(client: Using, guild: Guild, alice: Person) -> None:
    client.answers = [said("done")]
    await (await alice.slash("tool use", count=1, in_=guild.general)).answer()
    with pytest.raises(discord.HTTPException) as refused:
        await client.used[0].response.send_message("again")
    assert refused.value.code == 40060


async def test_it_is_answered_in_time(standin: Standin, client: Using, guild: Guild, alice: Person) -> None:
    standin.interactions.ack_seconds = 0.0
    await alice.slash("tool use", count=1, in_=guild.general)
    await standin.until(lambda: client.used)
    with pytest.raises(discord.NotFound) as refused:
        await client.used[0].response.send_message("late")
    assert refused.value.code == 10062


async def test_nothing_follows_before_the_first_answer_or_after_fifteen_minutes(
    standin: Standin, client: Using, guild: Guild, alice: Person
) -> None:
    use = await alice.slash("tool use", count=1, in_=guild.general)
    await standin.until(lambda: client.used)
    with pytest.raises(discord.NotFound) as refused:
        await client.used[0].followup.send("early")
    assert refused.value.code == 10015
    await client.used[0].response.defer()
    use.interaction.expire()
    with pytest.raises(discord.HTTPException) as late:
        await client.used[0].followup.send("late")
    assert late.value.code == 50027


async def test_a_button_updates_its_message_and_greyed_ones_stay_unpressed(
    client: Using, guild: Guild, alice: Person
) -> None:
    client.answers = [said("page 1", components=[ROW])]
    page = await (await alice.slash("tool use", count=1, in_=guild.general)).answer()
    assert page.message.buttons == ["Next"]
    client.answers = [{"type": 7, "data": {"content": "page 2", "components": []} | QUIET}]
    with pytest.raises(AssertionError, match="greyed"):
        await alice.clicks(page, "Back")
    turned = await (await alice.clicks(page, "Next")).answer()
    assert (turned.message, turned.text) == (page.message, "page 2")
    with pytest.raises(AssertionError, match="no 'Next'"):
        await alice.clicks(page, "Next")


async def test_others_do_not_see_a_private_message(client: Using, guild: Guild, alice: Person, bob: Person) -> None:
    client.answers = [said("secret", components=[ROW], flags=64)]
    page = await (await alice.slash("tool use", count=1, in_=guild.general)).answer()
    with pytest.raises(AssertionError, match="does not see"):
        await bob.clicks(page, "next")


async def test_a_form_is_filled_in_once(client: Using, guild: Guild, alice: Person) -> None:
    text = {"type": 4, "custom_id": "url", "label": "Address", "style": 1, "min_length": 3}
    form = {"custom_id": "f", "title": "Form", "components": [{"type": 1, "components": [text]}]}
    client.answers = [{"type": 9, "data": form}]
    shown = await (await alice.slash("tool use", count=1, in_=guild.general)).answer()
    assert shown.modal
    assert shown.modal.title == "Form"
    for refused in ({}, {"url": "ab"}, {"other": "abc"}):
        with pytest.raises(AssertionError):
            await alice.submits(shown, **refused)
    client.answers = [said("taken")]
    assert (await (await alice.submits(shown, Address="abc")).answer()).text == "taken"
    data: Any = client.used[-1].data
    assert data["components"][0]["components"][0]["value"] == "abc"
    with pytest.raises(AssertionError, match="sent already"):
        await alice.submits(shown, url="abc")


async def test_an_answer_that_does_not_fit_is_refused_and_complained_about(
    standin: Standin, client: Using, guild: Guild, alice: Person
) -> None:
    await alice.slash("tool use", count=1, in_=guild.general)
    await standin.until(lambda: client.used)
    assert await client.answer(client.used[0], {"type": 7, "data": {"content": "x"} | QUIET}) == 400
    assert standin.complaints
    standin.complaints.clear()


async def test_an_answer_may_carry_a_file(standin: Standin, client: Using, guild: Guild, alice: Person) -> None:
    use = await alice.slash("tool use", count=1, in_=guild.general)
    await standin.until(lambda: client.used)
    await client.used[0].response.send_message("here", file=discord.File(io.BytesIO(b"1"), "a.csv"))
    assert (await use.answer()).message.files == {"a.csv": b"1"}


async def test_in_direct_messages_it_is_a_user_not_a_member(client: Using, alice: Person) -> None:
    client.answers = [said("done")]
    await (await alice.slash("tool use", count=1, in_=alice.dm)).answer()
    assert isinstance(client.used[0].user, discord.User)
    assert client.used[0].guild is None
