import json

import pytest

from socbot.bot import Bot
from socbot.config import WebhooksConfig
from socbot.dispatch.messages import Attachment
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.receiver import Behaviour, Receiver, answer, endless, gzip_bomb, hang, in_a_thread, redirect

OLDER = {
    "users": {
        "42": {"reason": "spam", "added_by": "Owner#1234", "added_at": "2026-02-01T12:00:00", "expires_at": None},
        "43": {"reason": "raid", "added_at": "2026-02-01T12:00:00", "expires_at": "2036-02-01T12:00:00"},
        "44": {"reason": "long over", "added_at": "2020-02-01T12:00:00", "expires_at": "2020-03-01T12:00:00"},
        "owner": {"reason": "revenge", "added_at": "2020-02-01T12:00:00", "expires_at": None},
        "bad id": {"reason": "", "added_at": "2020-02-01T12:00:00", "expires_at": None},
        "45": {"reason": "", "added_at": "once", "expires_at": None},
    },
    "guilds": {"g9": {"reason": "raiders", "added_by": "Owner#1234", "added_at": "2026-02-01T12:00:00-08:00"}},
    "total_users": 6,
    "total_guilds": 1,
}


async def ask(bot: Bot, text: str, *files: Attachment) -> Reply:
    outcome = await bot.dispatch(owner_said(text, attachments=files))
    assert outcome.status in ("ok", "invalid", "refused"), outcome.error
    assert outcome.reply is not None
    return outcome.reply


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


def attached(content: bytes, name: str = "blacklist.json") -> Attachment:
    return Attachment(name, len(content), content=content)


async def confirm(bot: Bot, reply: Reply) -> Reply:
    assert reply.question is not None
    return await ask(bot, f"confirm {reply.question.code}")


async def test_adding_says_what_was_added(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        reply = await ask(bot, "!blacklist_add user @42 sold `@everyone` <@&1>")
        assert reply.title == "Added to the blacklist"
        told = fields(reply)
        assert (told["Type"], told["Id"], told["By"], told["Until"]) == ("user", "`42`", "`owner`", "permanent")
        assert "`" not in told["Reason"]
        assert "<@" not in told["Reason"]
        reply = await ask(bot, "!blacklist_temp user 42 2h more")
        assert reply.title == "Changed on the blacklist"
        assert fields(reply)["Until"] == f"<t:{int(clock.time() + 7200)}>"
        assert fields(await ask(bot, "!blacklist_temp guild g7 36"))["Until"] == f"<t:{int(clock.time() + 36 * 3600)}>"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("!blacklist_add user", "id: missing"),
        ("!blacklist_add person 42", "kind: `person` is not one of user, guild"),
        ("!blacklist_add user a@b", "id: `a＠b` is not a user"),
        ("!blacklist_temp user 42 soon", "duration: `soon` is not a duration"),
        ("!blacklist_temp user 42 -1h", "duration: `-1h` is not a duration"),
        ("!blacklist_add user owner spite", "cannot be listed"),
        ("!blacklist_remove user 42", "is not listed"),
        ("!blacklist_history guild", "id: missing"),
        ("!blacklist_check guild", "id: missing"),
        ("!blacklist_import", "file: missing"),
        ("!blacklist_import http://169.254.169.254/", "has to be reached by https"),
        ("!blacklist_import https://169.254.169.254/", "no address in the public internet"),
        ("!blacklist_import file:///etc/passwd", "has to look like https://host/path"),
    ],
)
async def test_a_wrong_argument_gets_one_short_answer(
    make_bot: MakeBot, clock: FakeClock, text: str, answer: str
) -> None:
    async with make_bot(clock=clock) as bot:
        assert answer in str(await ask(bot, text))
        assert await bot.blacklist.entries() == ()


@pytest.mark.promise("P01")
async def test_strangers_may_check_themselves_and_nothing_more(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:

        async def stranger(text: str) -> Outcome:
            clock.forward(60)
            return await bot.dispatch(said(text))

        for text in (
            "add user 43",
            "temp user 43 1h",
            "remove user 43",
            "stats",
            "history user 42",
            "export",
            "import",
        ):
            assert (await stranger(f"!blacklist_{text}")).refused_by == "permission"
        assert (await stranger("!blacklist")).refused_by == "permission"
        assert "not listed" in str((await stranger("!blacklist_check")).reply)
        assert "not listed" in str((await stranger("!blacklist_check user 42")).reply)
        outcome = await stranger("!blacklist_check user 43")
        assert outcome.reply is not None
        assert "Only the owner" in outcome.reply.text


async def test_the_owner_sees_everything_that_was_done(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        assert (await ask(bot, "!blacklist")).text == "Nobody is listed."
        await ask(bot, "!blacklist_add user 42 spam")
        await ask(bot, "!blacklist_temp guild g7 1h raid")
        await ask(bot, "!blacklist_add user discord:42")
        assert len((await ask(bot, "!blacklist")).items) == 3
        assert len((await ask(bot, "!blacklist guild")).items) == 1
        check = await ask(bot, "!blacklist_check user 42")
        assert (check.title, fields(check)["Reason"]) == ("The user `42` is listed", "spam")
        assert "`discord:42`" in str(await ask(bot, "!blacklist_check user discord:42"))
        removed = await ask(bot, "!blacklist_remove user 42 appealed")
        assert (removed.title, fields(removed)["Reason"]) == ("Removed from the blacklist", "spam")
        clock.forward(3600)
        await bot.blacklist.sweep()
        history = await ask(bot, "!blacklist_history user 42")
        assert [line.split(" ", 1)[1] for line in history.items] == [
            "removed by `owner`: appealed",
            "added by `owner`, for ever: spam",
        ]
        assert "never listed" in (await ask(bot, "!blacklist_history user 99")).text
        assert fields(await ask(bot, "!blacklist_stats")) == {
            "Permanent": "1 entries",
            "Temporary": "0 entries",
            "Expired": "1 entries",
            "By source": "manual 1",
            "Blocked attempts": "0 commands",
        }


@pytest.mark.promise("P22")
@pytest.mark.parametrize("flag", ["", " --csv"])
async def test_an_export_is_read_back_as_it_was(make_bot: MakeBot, clock: FakeClock, flag: str) -> None:
    async with make_bot(clock=clock) as bot:
        await ask(bot, '!blacklist_add user 42 =HYPERLINK("http://x";"1")')
        await ask(bot, "!blacklist_temp user 43 1h 'quoted', \"twice\"")
        await ask(bot, "!blacklist_add guild g7")
        before = await bot.blacklist.entries()
        reply = await ask(bot, f"!blacklist_export{flag}")
        assert reply.private
        (file,) = reply.files
        if flag:
            assert b'"=HYPER' not in file.content
        for entry in before:
            await bot.blacklist.remove(entry.kind, entry.identity, reason="", by="test")
        plan = await ask(bot, "!blacklist_import --dry-run", attached(file.content, file.name))
        assert fields(plan)["Added"] == "3 entries"
        assert await bot.blacklist.entries() == ()
        done = await confirm(bot, await ask(bot, "!blacklist_import", attached(file.content, file.name)))
        assert fields(done) == {
            "Added": "3 entries",
            "Changed": "0 entries",
            "Already there": "0 entries",
            "Refused": "0 entries",
        }
        after = await bot.blacklist.entries()
        assert {
            (entry.identity, entry.reason, entry.added_by, entry.added_at, entry.expires_at) for entry in after
        } == {(entry.identity, entry.reason, entry.added_by, entry.added_at, entry.expires_at) for entry in before}


async def test_the_older_bots_file_is_taken_over_and_its_nonsense_refused_with_reasons(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(clock=clock) as bot:
        file = attached(json.dumps(OLDER).encode())
        question = await ask(bot, "!blacklist_import", file)
        assert "3 to add, 0 to change, 0 there already, 4 refused" in question.text
        assert await bot.blacklist.entries() == ()
        done = await confirm(bot, question)
        assert fields(done)["Added"] == "3 entries"
        text = "\n".join(done.items)
        assert "user `owner`: an owner or the bot itself" in text
        assert "user `44`: expired already" in text
        assert "bad id" in text
        assert "added_at of 45" in text
        found = await bot.blacklist.find("user", ("local", "43"))
        assert found is not None
        assert found.expires_at == 2_085_508_800.0  # noon in Los Angeles, where the older bot ran
        assert "there already" not in str(
            await ask(bot, "!blacklist_import", file)
        )  # nothing to ask: nothing would change


async def test_who_listed_somebody_may_be_unknown(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        file = attached(json.dumps({"users": {"43": {"reason": "spam"}}}).encode())
        await confirm(bot, await ask(bot, "!blacklist_import", file))
        (line,) = (await ask(bot, "!blacklist")).items
        assert "spam (by somebody unknown, since" in line


@pytest.mark.promise("P20")
@pytest.mark.promise("P30")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"\xff\xfe\x00",
        b'{"users": {"42": 7}}',
        b'{"blacklist": [{"kind": "planet"}]}',
        b'{"users": ' + b"[" * 100_000,
        b'{"x": ' + b'{"x":' * 100_000,
        b'{"blacklist": [{"platform":"local","kind":"user","id":"1","reason":"","added_by":"","added_at":1e400}]}',
        b"platform,kind\nlocal,user\n",
        b"platform,kind,id,reason,added_by,added_at,expires_at,source\nlocal,user,42\n",
        b"platform,kind,id,reason,added_by,added_at,expires_at,source\nlocal,user,42,x,y,soon,,manual\n",
    ],
    ids=range(13),
)
async def test_a_file_that_is_no_blacklist_gets_one_typed_answer(
    make_bot: MakeBot, clock: FakeClock, content: bytes
) -> None:
    async with make_bot(clock=clock) as bot:
        await ask(bot, "!blacklist_add user 42 spam")
        outcome = await bot.dispatch(owner_said("!blacklist_import", attachments=(attached(content),)))
        assert outcome.status == "invalid", outcome.error
        assert [entry.id for entry in await bot.blacklist.entries()] == ["42"]


async def test_a_file_that_the_transport_did_not_fetch_is_said(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        reply = await ask(bot, "!blacklist_import", Attachment("b.json", 10, url="http://127.0.0.1/b.json"))
        assert "could not be read" in reply.text


# -- fetching the file --------------------------------------------------------------------------------


@pytest.mark.promise("P12")
async def test_a_file_is_fetched_from_where_the_operator_lets_it(make_bot: MakeBot, clock: FakeClock) -> None:
    with in_a_thread(Receiver()) as receiver:
        receiver.on("/list.json", answer(200, body=OLDER))
        async with make_bot(clock=clock, webhooks=WebhooksConfig(allow=(receiver.address,))) as bot:
            plan = await ask(bot, f"!blacklist_import {receiver.url('/list.json')} --dry-run")
            assert fields(plan)["Added"] == "3 entries"
            question = await ask(bot, f"!blacklist_import {receiver.url('/list.json')}")
            receiver.on("/list.json", answer(200, body={"users": {}}))  # what was shown is what is taken over
            assert fields(await confirm(bot, question))["Added"] == "3 entries"
            assert len(receiver.requests) == 2
        async with make_bot(clock=clock) as bot:
            reply = await ask(bot, f"!blacklist_import {receiver.url('/list.json')}")
            assert "has to be reached by https" in reply.text
            assert len(receiver.requests) == 2


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (redirect("http://127.0.0.1/"), "the answer was 302, which leads elsewhere"),
        (answer(404), "the answer was 404."),
        (answer(200, body=b"[" * 1_048_577), "at most 1 MiB"),
        (gzip_bomb(), "came compressed"),
        (endless, "at most 1 MiB"),
        (hang, "did not answer within 1 s"),
        (answer(200, body=b"{"), "blacklist"),
    ],
    ids=["redirect", "missing", "large", "gzip bomb", "endless", "hang", "no blacklist"],
)
async def test_what_is_fetched_can_do_no_harm(
    make_bot: MakeBot, clock: FakeClock, behaviour: Behaviour, text: str
) -> None:
    with in_a_thread(Receiver()) as receiver:
        receiver.otherwise = behaviour
        config = WebhooksConfig(allow=("127.0.0.1",), timeout=1 if behaviour is hang else 30)
        async with make_bot(clock=clock, webhooks=config) as bot:
            reply = await ask(bot, f"!blacklist_import {receiver.url('/Canary-5ecret')}")
            assert text in str(reply)
            assert "Canary" not in str(reply)
            assert await bot.blacklist.entries() == ()
