"""Access: tokens, sessions and links, and how each of them ends."""

from pathlib import Path
from random import Random

import anyio
import pytest
from msgspec import structs

from socbot.bot import Bot
from socbot.config import StorageConfig, WebConfig
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.messages import Message, User
from socbot.documents import ConfigError
from socbot.storage.connection import Connection
from socbot.systems.access import (
    FIRST,
    MOST_SESSIONS,
    MOST_TOKENS,
    PLATFORM,
    TICKET_LIFE,
    Access,
    AccessError,
    Session,
    Token,
)
from socbot.testing import OWNER, FakeClock
from tests.conftest import MakeBot

OPEN = "a-token-of-the-operators-own"
OTHER = "and-this-is-quite-another-one"
ME = ":".join(OWNER)
HOUR, DAY = 3_600.0, 86_400.0


def signed_in(access: Access, id: str) -> Session:
    session = access.session(id)
    assert session is not None
    return session


def known(access: Access, text: str) -> Token:
    token = access.token(text)
    assert token is not None
    return token


def names(access: Access) -> list[str]:
    return [token.name for token in access.tokens()]


# -- tokens -------------------------------------------------------------------------------------------


async def test_a_token_opens_from_the_moment_it_is_made_and_after_a_restart(
    make_bot: MakeBot, either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with make_bot(storage=either_storage, clock=clock) as bot:
        text = await bot.access.add("ops", "viewer", ME)
        assert known(bot.access, text) == Token("ops", "viewer", ME, clock.time())
    async with make_bot(storage=either_storage, clock=clock, random=Random(2)) as bot:
        assert known(bot.access, text).role == "viewer"


async def test_of_a_token_a_session_and_a_link_nothing_is_in_the_store(make_bot: MakeBot, tmp_path: Path) -> None:
    async with make_bot() as bot:
        text = await bot.access.add("ops", "owner", ME)
        ticket = bot.access.ticket("ops")
        id = await bot.access.redeem(ticket)
        assert id is not None
        for secret in (text, ticket, id):
            assert len(secret) == len("soc_") + 64
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert b"ops" in kept
    for secret in (text, ticket, id):
        assert secret.encode() not in kept
        assert secret.removeprefix("soc_").encode() not in kept


async def test_no_two_secrets_are_the_same(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        made = [await bot.access.add(f"t{number}", "owner", ME) for number in range(10)]
        made += [bot.access.ticket("t0") for _ in range(10)]
        assert len(set(made)) == 20


@pytest.mark.promise("P38")
async def test_nothing_but_the_whole_token_opens(make_bot: MakeBot) -> None:
    async with make_bot(web=WebConfig(token=OPEN)) as bot:
        text = await bot.access.add("ops", "owner", ME)
        for good in (text, OPEN):
            assert bot.access.token(good) is not None
            for length in range(len(good)):
                assert bot.access.token(good[:length]) is None
            for wrong in (good + "0", good.upper(), " " + good, good + "\0", good[:-1] + "\udcff", good[::-1]):
                assert bot.access.token(wrong) is None


async def test_how_a_token_is_looked_for_tells_nothing_of_it(
    make_bot: MakeBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each known one is compared, by what takes as long for every guess, whichever is found."""
    import hmac

    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    async with make_bot(web=WebConfig(token=OPEN, viewer_token=OTHER)) as bot:
        await bot.access.add("ops", "owner", ME)
        for text in (OPEN, OTHER, "nonsense"):
            compared.clear()
            bot.access.token(text)
            assert len(compared) == 3


async def test_a_name_is_given_once(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        text = await bot.access.add("ops", "viewer", ME)
        for name in ("ops", "config", "config-viewer"):
            with pytest.raises(InvalidArgument):
                await bot.access.add(name, "owner", ME)
        assert known(bot.access, text).role == "viewer"
        assert names(bot.access) == ["ops"]


async def test_there_are_no_more_tokens_than_somebody_can_keep_an_eye_on(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        for number in range(MOST_TOKENS):
            await bot.access.add(f"t{number}", "viewer", ME)
        with pytest.raises(AccessError):
            await bot.access.add("one-more", "viewer", ME)


async def test_the_first_token_is_made_when_there_is_none_and_only_then(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        text = await bot.access.first_token()
        assert text is not None
        assert known(bot.access, text).role == "owner"
        assert await bot.access.first_token() is None
        assert names(bot.access) == [FIRST]
    async with make_bot() as bot:
        assert await bot.access.first_token() is None
        await bot.access.remove(FIRST)
        assert await bot.access.first_token() is not None
    async with make_bot(web=WebConfig(viewer_token=OPEN)) as bot:
        await bot.access.remove(FIRST)
        assert await bot.access.first_token() is None


@pytest.mark.parametrize("token", ["short", "a" * 40, "abcabcabcabcabcabcabc"])
async def test_a_token_that_can_be_guessed_is_refused(make_bot: MakeBot, token: str) -> None:
    for web in (WebConfig(token=token), WebConfig(viewer_token=token)):
        with pytest.raises(ConfigError, match="web") as refused:
            async with make_bot(web=web):
                pass
        assert token not in str(refused.value)


async def test_who_looks_and_who_owns_do_not_share_a_token(make_bot: MakeBot) -> None:
    with pytest.raises(ConfigError, match="viewer_token"):
        async with make_bot(web=WebConfig(token=OPEN, viewer_token=OPEN)):
            pass


async def test_a_use_is_written_down_once_a_minute(
    make_bot: MakeBot, either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with make_bot(storage=either_storage, clock=clock) as bot:
        text = await bot.access.add("ops", "viewer", ME)
        began = clock.time()
        known(bot.access, text)
        clock.forward(30)
        known(bot.access, text)
        [token] = bot.access.tokens()
        assert token.used_at == began
        await bot.access.flush()
        clock.forward(40)
        known(bot.access, text)
        await bot.access.flush()
    async with make_bot(storage=either_storage, clock=clock) as bot:
        [token] = bot.access.tokens()
        assert token.used_at == began + 70


# -- sessions -----------------------------------------------------------------------------------------


async def test_a_session_lasts_over_a_restart_and_no_longer_than_its_token(
    make_bot: MakeBot, either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with make_bot(storage=either_storage, clock=clock) as bot:
        token = known(bot.access, await bot.access.add("ops", "viewer", ME))
        other = known(bot.access, await bot.access.add("other", "owner", ME))
        id, kept = await bot.access.sign_in(token), await bot.access.sign_in(other)
        assert signed_in(bot.access, id).role == "viewer"
    async with make_bot(storage=either_storage, clock=clock) as bot:
        assert signed_in(bot.access, id).token == "ops"
        assert await bot.access.remove("ops") == 1
        assert bot.access.session(id) is None
        assert signed_in(bot.access, kept).token == "other"
    async with make_bot(storage=either_storage, clock=clock) as bot:
        assert bot.access.session(id) is None
        assert signed_in(bot.access, kept).token == "other"


async def test_a_session_ends_when_it_is_not_used(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, web=WebConfig(session=7 * DAY, idle=DAY)) as bot:
        id = await bot.access.sign_in(known(bot.access, await bot.access.add("ops", "owner", ME)))
        for _ in range(3):
            clock.forward(DAY - 1)
            assert bot.access.session(id) is not None
        clock.forward(DAY - 1)
        assert bot.access.session(id, used=False) is not None  # a page that keeps itself fresh
        clock.forward(1)
        assert bot.access.session(id) is None
        await bot.access.flush()
        assert bot.access.sessions() == ()


async def test_a_session_ends_however_much_it_is_used(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, web=WebConfig(session=7 * DAY, idle=DAY)) as bot:
        id = await bot.access.sign_in(known(bot.access, await bot.access.add("ops", "owner", ME)))
        for _ in range(7 * 24 - 1):
            clock.forward(HOUR)
            assert bot.access.session(id) is not None
        clock.forward(HOUR)
        assert bot.access.session(id) is None


async def test_the_use_of_a_session_is_known_after_a_restart(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        id = await bot.access.sign_in(known(bot.access, await bot.access.add("ops", "owner", ME)))
        clock.forward(DAY - 1)
        bot.access.session(id)
        await bot.access.flush()
    clock.forward(DAY - 1)
    async with make_bot(clock=clock) as bot:
        assert bot.access.session(id) is not None


async def test_who_signs_out_is_out(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        token = known(bot.access, await bot.access.add("ops", "owner", ME))
        id, other = await bot.access.sign_in(token), await bot.access.sign_in(token)
        await bot.access.sign_out(id)
        assert bot.access.session(id) is None
        assert bot.access.session(other) is not None
    async with make_bot() as bot:
        assert bot.access.session(id) is None


async def test_sessions_are_bounded(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        token = known(bot.access, await bot.access.add("ops", "owner", ME))
        ids = []
        for _ in range(MOST_SESSIONS + 1):
            clock.forward(1)
            ids.append(await bot.access.sign_in(token))
        assert len(bot.access.sessions()) == MOST_SESSIONS
        assert bot.access.session(ids[0]) is None
        assert bot.access.session(ids[1]) is not None


async def test_a_session_ends_with_the_token_of_the_configuration_it_was_begun_with(make_bot: MakeBot) -> None:
    async with make_bot(web=WebConfig(token=OPEN)) as bot:
        id = await bot.access.sign_in(known(bot.access, OPEN))
        again = await bot.access.sign_in(known(bot.access, OPEN))
        bot.access.configure(WebConfig(token=OPEN))
        assert bot.access.session(id) is not None
        bot.access.configure(WebConfig(token=OTHER))
        assert bot.access.session(id) is None
        assert bot.access.token(OPEN) is None
        with pytest.raises(AccessError, match=r"web\.token"):
            await bot.access.remove("config")
    async with make_bot(web=WebConfig(token=OPEN)) as bot:
        assert bot.access.session(again) is not None
    async with make_bot(web=WebConfig(token=OTHER)) as bot:  # changed while the bot was down
        assert bot.access.session(again) is None


# -- links --------------------------------------------------------------------------------------------


async def test_a_link_signs_in_once(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        ticket, found = bot.access.ticket(ME), []

        async def redeem() -> None:
            found.append(await bot.access.redeem(ticket))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(redeem)
        [id] = [each for each in found if each is not None]
        assert signed_in(bot.access, id).token == ME
        assert signed_in(bot.access, id).role == "owner"


async def test_a_link_signs_in_for_five_minutes_whatever_the_wall_clock_says(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(clock=clock) as bot:
        early, late = bot.access.ticket(ME), bot.access.ticket(ME)
        clock.forward(TICKET_LIFE - 1)
        assert await bot.access.redeem(early) is not None
        clock.step(-DAY)
        clock.forward(1)
        assert await bot.access.redeem(late) is None


async def test_a_link_is_of_no_use_after_a_restart_and_no_token(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        ticket = bot.access.ticket(ME)
        assert bot.access.token(ticket) is None
        assert bot.access.session(ticket) is None
    async with make_bot() as bot:
        assert await bot.access.redeem(ticket) is None


async def test_who_is_no_owner_any_more_is_signed_out_and_links_of_theirs_are_void(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        id, ticket = await bot.access.redeem(bot.access.ticket(ME)), bot.access.ticket(ME)
        assert id is not None
        bot.access.people = frozenset()
        assert bot.access.session(id) is None
        assert await bot.access.redeem(ticket) is None


async def test_whoever_was_sent_a_link_can_be_signed_out_everywhere(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        first, second = [await bot.access.redeem(bot.access.ticket(ME)) for _ in range(2)]
        assert first is not None
        assert second is not None
        waiting = bot.access.ticket(ME)
        assert await bot.access.remove(ME) == 2
        assert bot.access.session(first) is bot.access.session(second) is None
        assert await bot.access.redeem(waiting) is None


# -- who counts as the owner --------------------------------------------------------------------------


def by(name: str) -> Message:
    return Message("!tokens", User(name), PLATFORM, PLATFORM)


async def is_owner(bot: Bot, name: str) -> bool:
    return (await bot.dispatch(by(name))).status == "ok"


@pytest.mark.promise("P01")
async def test_on_the_pages_exactly_the_tokens_of_owners_are_owners(make_bot: MakeBot) -> None:
    async with make_bot(web=WebConfig(token=OPEN, viewer_token=OTHER)) as bot:
        await bot.access.add("ops", "owner", ME)
        await bot.access.add("looks", "viewer", ME)
        await bot.access.add("sends", "sender", ME)
        seen = {
            name: await is_owner(bot, name) for name in ("ops", "config", ME, "looks", "sends", "config-viewer", "")
        }
        assert seen == {
            "ops": True, "config": True, ME: True, "looks": False, "sends": False, "config-viewer": False, "": False
        }  # fmt: skip
        assert (await bot.dispatch(structs.replace(by("ops"), platform="web"))).refused_by == "permission"
        await bot.access.remove("ops")
        bot.access.configure(WebConfig())
        assert not await is_owner(bot, "ops")
        assert not await is_owner(bot, "config")


# -- backups ------------------------------------------------------------------------------------------


@pytest.mark.promise("P38")
async def test_a_restore_brings_back_no_token_and_takes_none(make_bot: MakeBot, either_storage: StorageConfig) -> None:
    async with make_bot(storage=either_storage) as bot:
        gone = await bot.access.add("gone", "owner", ME)
        session = await bot.access.sign_in(known(bot.access, gone))
        made = await bot.backups.now()
        await bot.access.remove("gone")
        new = await bot.access.add("new", "owner", ME)
        await bot.backups.restore(made.backup.name)
        assert bot.access.token(gone) is None
        assert bot.access.session(session) is None
        assert bot.access.token(new) is not None
        assert not await is_owner(bot, "gone")
        assert await is_owner(bot, "new")
        await bot.backups.undo()
        assert bot.access.token(gone) is None
        assert bot.access.token(new) is not None


async def test_a_change_of_another_process_is_seen(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        text = await bot.access.add("ops", "owner", ME)

        def remove(connection: Connection) -> None:
            connection.change("DELETE FROM web_tokens")

        await bot.database.write(remove)
        await bot.access.flush()
        assert bot.access.token(text) is None
        assert not await is_owner(bot, "ops")


async def test_what_is_done_about_access_is_in_the_audit_trail_once(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        first = known(bot.access, await bot.access.first_token() or "")
        await bot.access.sign_in(first)
        await bot.dispatch(Message("!token_add ops viewer", User(OWNER[1]), OWNER[0]))
        told = [(record.who, record.action, record.what) for record in await bot.audit.entries(10)]
        assert told == [
            (ME, "token_add", "ops viewer"),
            ("dashboard:first", "sign in", "owner"),
            ("socbot", "token_add", "first owner"),
        ]
