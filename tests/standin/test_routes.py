"""The REST routes as discord.py uses them: what is allowed, and what Discord says no with."""

import datetime
import io

import aiohttp
import discord
import pytest

from tests.standin import Permission, Standin
from tests.standin.conftest import Client, Connect

QUIET: dict[str, object] = {"allowed_mentions": {"parse": []}}


async def test_what_is_sent_is_all_there_to_be_read(standin: Standin, connect: Connect) -> None:
    guild = standin.guild("g")
    embed = discord.Embed(title="Title", description="Body").set_footer(text="Foot").add_field(name="a", value="b")
    async with connect() as client:
        channel = client.get_partial_messageable(int(guild.general.id))
        await channel.send("Hello", embed=embed, file=discord.File(_stream(b"1,2"), "a.csv"))
    message = await standin.message(in_=guild.general)
    assert message.text == "Hello\nTitle\nBody\na\nb\nFoot"
    assert message.files == {"a.csv": b"1,2"}


async def test_an_attachment_of_a_person_can_be_read(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        await alice.says("look", in_=guild.general, files={"a.txt": b"content"})
        await standin.until(lambda: client.heard)
        assert await client.heard[0].attachments[0].read() == b"content"


async def test_an_edited_message_keeps_its_history_and_a_deleted_one_is_gone(
    standin: Standin, connect: Connect
) -> None:
    guild = standin.guild("g")
    async with connect() as client:
        sent = await client.get_partial_messageable(int(guild.general.id)).send("first")
        await sent.edit(content="second")
        message = await standin.message(in_=guild.general)
        assert (message.text, message.history[0]["content"]) == ("second", "first")
        await sent.delete()
        assert message.deleted
        with pytest.raises(discord.NotFound) as refused:
            await sent.edit(content="third")
        assert refused.value.code == 10008


async def test_the_same_nonce_says_it_once(standin: Standin, connect: Connect) -> None:
    guild = standin.guild("g")
    async with connect() as client:
        channel = client.get_partial_messageable(int(guild.general.id))
        one, other = await channel.send("hello", nonce=7), await channel.send("hello", nonce=7)
        assert one.id == other.id
    assert len(guild.general.messages) == 1


async def test_a_reply_refers_to_what_is_there(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        said = await alice.says("question", in_=guild.general)
        await standin.until(lambda: client.heard)
        await client.heard[0].reply("answer", mention_author=False)
        reply = await standin.message(in_=guild.general)
        assert (reply.reference, reply.pings) == (said, [])
        await alice.deletes(said)
        with pytest.raises(discord.HTTPException, match="Unknown message"):
            await client.heard[0].reply("answer", mention_author=False)


async def test_closed_direct_messages_refuse_the_bot(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    alice.closes_dms()
    async with connect() as client:
        with pytest.raises(discord.Forbidden) as refused:
            await (await client.fetch_user(int(alice.id))).send("psst")
        assert refused.value.code == 50007


@pytest.mark.parametrize(
    ("denied", "code"),
    [(Permission.SEND_MESSAGES, 50013), (Permission.VIEW_CHANNEL, 50001), (Permission.ATTACH_FILES, 50013)],
)
async def test_a_bot_without_a_permission_is_refused(
    standin: Standin, connect: Connect, denied: int, code: int
) -> None:
    guild = standin.guild("g")
    guild.general.denies(standin.bot, denied)
    async with connect() as client:
        channel = client.get_partial_messageable(int(guild.general.id))
        with pytest.raises(discord.Forbidden) as refused:
            await channel.send("hello", file=discord.File(_stream(b""), "a.txt"))
        assert refused.value.code == code


async def test_other_peoples_messages_are_deleted_with_the_permission_alone(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        said = [await alice.says(text, in_=guild.general) for text in ("a", "b")]
        await standin.until(lambda: len(client.heard) == 2)
        await client.heard[0].delete()
        guild.bot_may(Permission.NONE)
        with pytest.raises(discord.Forbidden):
            await client.heard[1].delete()
    assert [message.deleted for message in said] == [True, False]


async def test_a_timed_out_member_cannot_write_until_it_is_over(standin: Standin, connect: Connect) -> None:
    alice, bob = standin.user("alice"), standin.user("bob")
    guild = standin.guild("g", owner=alice, members=[bob])
    async with connect() as client:
        await client.wait_until_ready()
        members = [await client.guilds[0].fetch_member(int(person.id)) for person in (bob, alice)]
        await members[0].timeout(datetime.timedelta(minutes=1))
        assert bob.is_timed_out_in(guild)
        with pytest.raises(AssertionError, match="may not write"):
            await bob.says("hello", in_=guild.general)
        await members[0].timeout(None)
        await bob.says("hello")
        with pytest.raises(discord.Forbidden):
            await members[1].timeout(datetime.timedelta(minutes=1))


async def test_a_role_above_the_bots_own_is_out_of_its_reach(standin: Standin, connect: Connect) -> None:
    bob = standin.user("bob")
    guild = standin.guild("g", members=[bob])
    guild.role("mod", 0, bob)
    async with connect() as client:
        await client.wait_until_ready()
        member = await client.guilds[0].fetch_member(int(bob.id))
        with pytest.raises(discord.Forbidden):
            await member.timeout(datetime.timedelta(minutes=1))


async def test_a_webhook_says_things_and_its_token_must_fit(standin: Standin, connect: Connect) -> None:
    guild = standin.guild("g")
    hook = guild.webhook()
    async with aiohttp.ClientSession() as session, connect() as client:
        async with session.post(hook.url, json={"content": "notice"} | QUIET) as response:
            assert response.status == 204
        async with session.post(hook.url + "x", json={"content": "notice"} | QUIET) as response:
            assert (response.status, (await response.json())["code"]) == (401, 50027)
        await standin.until(lambda: client.heard)
        assert client.heard[0].webhook_id == int(hook.id)
    assert (await standin.message(in_=guild.general)).text == "notice"


async def test_the_application_knows_its_owner_its_team_and_its_intents(standin: Standin) -> None:
    alice, bob = standin.user("alice"), standin.user("bob")
    standin.application.owner = alice
    standin.application.team, standin.application.invited_to_team = [alice], [bob]
    async with Client() as client:
        await client.login(standin.token)
        info = await client.application_info()
    assert (info.owner.name, info.flags.gateway_message_content_limited) == ("alice", True)
    assert info.team
    assert [(member.name, member.membership_state.name) for member in info.team.members] == [
        ("alice", "accepted"),
        ("bob", "invited"),
    ]


async def test_commands_keep_their_ids_when_they_are_put_again(standin: Standin) -> None:
    guild = standin.guild("g")
    commands = [{"name": name, "description": "does it", "type": 1} for name in ("one", "two")]
    async with Client() as client:
        await client.login(standin.token)
        first = await client.http.bulk_upsert_global_commands(client.application_id or 0, commands)
        again = await client.http.bulk_upsert_global_commands(client.application_id or 0, commands[1:])
        there = await client.http.get_guild_commands(client.application_id or 0, int(guild.id))
    assert [again[0]["id"]] == [command["id"] for command in first if command["name"] == "two"]
    assert there == []


@pytest.mark.parametrize(
    ("path", "code"),
    [("/channels/1", 10003), ("/users/1", 10013), ("/guilds/1", 10004), ("/webhooks/1/x", 10015)],
)
async def test_what_is_not_there_has_discords_codes(standin: Standin, path: str, code: int) -> None:
    headers = {"Authorization": f"Bot {standin.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(standin.api_url + path) as response:
        assert (response.status, (await response.json())["code"]) == (404, code)


@pytest.mark.parametrize(
    "body",
    [
        {"content": "x" * 2001} | QUIET,
        {"content": "pings?"},
        {"content": "x", "allowed_mentions": {"parse": ["users"]}},
    ],
)
async def test_what_no_bot_should_send_fails_the_test_that_sent_it(body: dict[str, object]) -> None:
    standin = await Standin().__aenter__()
    path = f"{standin.api_url}/channels/{standin.guild('g').general.id}/messages"
    headers = {"Authorization": f"Bot {standin.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(path, json=body) as response:
        assert response.status == 400
    with pytest.raises(AssertionError, match="/channels/"):
        await standin.__aexit__(None, None, None)


async def test_every_request_is_on_record(standin: Standin, connect: Connect) -> None:
    guild = standin.guild("g")
    async with connect() as client:
        await client.get_partial_messageable(int(guild.general.id)).send("hello")
    (request,) = standin.requested("POST", "/channels/*/messages")
    assert (request.body["content"], request.status) == ("hello", 200)


def _stream(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)
