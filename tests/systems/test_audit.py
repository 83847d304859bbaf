"""The audit trail: complete, in order, and not to be changed unseen."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socbot.bot import Bot
from socbot.config import AnalyticsConfig, BackupConfig, StorageConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.messages import Answer, Attachment, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.redaction import Redactor
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.sqlite import SqliteSession
from socbot.systems import audit as audit_module
from socbot.systems.audit import HEAD_ROW, MOST_DENIED, Audit, Record, carry_over
from socbot.systems.webhooks.endpoint import Endpoint, Row
from socbot.testing import OWNER, FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.test_tour import fail, names_in
from tests.tour import TOUR, message, take

SECRET = "hunter2-very-secret"


@asynccontextmanager
async def audit_on(storage: StorageConfig, clock: Clock | None = None) -> AsyncIterator[Audit]:
    clock = clock or FakeClock()
    async with Database.open(storage, clock) as database:
        audit = Audit(database, clock, Redactor([SECRET]))
        yield audit
        await audit.close()


async def fill(audit: Audit, count: int, what: str = "number") -> None:
    def write(connection: Connection) -> None:
        audit.append(connection, *(audit.entry("act", f"{what} {number}") for number in range(1, count + 1)))

    await audit._database.write(write)


async def sql(audit: Audit, *statements: str) -> None:
    await audit._database.write(lambda connection: [connection.change(each) for each in statements])


async def flaw(audit: Audit, anchor: str = "") -> str:
    found = await audit.verify(anchor)
    return "" if found is None else str(found)


def shown(record: Record) -> tuple[str, str, str, str]:
    return (record.who, record.action, record.what, record.result)


async def trail(bot: Bot) -> list[tuple[str, str, str, str]]:
    """Everything on record, oldest first."""
    return [shown(each) for each in reversed(await bot.audit.entries(10_000))]


# -- the chain ----------------------------------------------------------------------------------------


async def test_what_is_recorded_is_read_back(either_storage: StorageConfig) -> None:
    async with audit_on(either_storage) as audit:
        await audit.record("expired", "user local:7", "blacklist")
        await audit.record("reload", f"key {SECRET} \0 \ud800 " + "x" * 1_000, "signal SIGHUP", "invalid")
        newest, oldest = await audit.entries()
        assert shown(oldest) == ("blacklist", "expired", "user local:7", "ok")
        assert newest.what.startswith("key [redacted] � ? xxx")
        assert len(newest.what) <= 301
        assert (oldest.id, newest.id, newest.previous) == (1, 2, oldest.hash)
        assert await flaw(audit) == ""


@pytest.mark.promise("P54")
@pytest.mark.parametrize("place", [1, 2, 500, 999, 1_000])
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit SET what = 'nothing' WHERE id = {n}", "is not as it was written"),
        ("UPDATE audit SET at = at + 1 WHERE id = {n}", "is not as it was written"),
        ("UPDATE audit SET result = 'denied' WHERE id = {n}", "is not as it was written"),
        ("DELETE FROM audit WHERE id = {n}", "is missing"),
        ("UPDATE audit SET id = 5000 WHERE id = {n}", "is missing"),
    ],
)
async def test_a_record_that_was_changed_or_removed_is_named(
    storage: StorageConfig, place: int, statement: str, told: str
) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 1_000)
        assert await flaw(audit) == ""
        await sql(audit, statement.format(n=place))
        assert await flaw(audit) == f"record {place} {told}"


@pytest.mark.promise("P54")
@pytest.mark.parametrize("places", [5, pytest.param(150, marks=pytest.mark.slow)])
async def test_whichever_of_a_thousand_is_edited_removed_or_moved_it_is_named(
    places: int, storage: StorageConfig
) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 1_000)
        await sql(audit, "CREATE TABLE kept AS SELECT * FROM audit")
        for place in Random(places).sample(range(1, 1_001), places):
            await sql(audit, f"UPDATE audit SET who = 'nobody' WHERE id = {place}")
            assert await flaw(audit) == f"record {place} is not as it was written"
            await sql(audit, f"DELETE FROM audit WHERE id = {place}")
            assert await flaw(audit) == f"record {place} is missing"
            await sql(audit, f"INSERT INTO audit SELECT * FROM kept WHERE id = {place}")
            if place < 1_000:
                swap = ((place, 9_999), (place + 1, place), (9_999, place + 1))
                await sql(audit, *(f"UPDATE audit SET id = {to} WHERE id = {of}" for of, to in swap))
                assert await flaw(audit) == f"record {place} is not as it was written"
                await sql(audit, *(f"UPDATE audit SET id = {of} WHERE id = {to}" for of, to in reversed(swap)))
        assert await flaw(audit) == ""


@pytest.mark.promise("P54")
@pytest.mark.parametrize(("first", "second"), [(1, 2), (3, 700), (999, 1_000)])
async def test_records_that_changed_places_are_found(storage: StorageConfig, first: int, second: int) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 1_000)
        swap = ((first, 9_999), (second, first), (9_999, second))
        await sql(audit, *(f"UPDATE audit SET id = {to} WHERE id = {of}" for of, to in swap))
        assert await flaw(audit) == f"record {first} is not as it was written"


@pytest.mark.promise("P54")
@pytest.mark.parametrize("place", [1, 2, 1_000])
async def test_a_record_that_was_replaced_with_its_hash_is_named(storage: StorageConfig, place: int) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 1_000)

        def forge(connection: Connection) -> None:
            [row] = connection.execute(f"SELECT * FROM audit WHERE id = {place}")
            values = dict(zip(Record.__struct_fields__, row, strict=True)) | {"what": "forged"}
            forged = audit_module._hash(Record(**values))
            connection.change("UPDATE audit SET what = 'forged', hash = :hash WHERE id = :id",
                              {"hash": forged, "id": place})  # fmt: skip

        await audit._database.write(forge)
        assert (await flaw(audit)).startswith(f"record {place} is not the one that ")


@pytest.mark.promise("P54")
async def test_records_put_in_are_found(storage: StorageConfig) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 10)
        columns = "at, who, action, what, result, trace_id, previous, hash"
        for id, told in ((-1, "record -1 was put in before"), (11, "record 11 is not as it was written")):
            await sql(audit, f"INSERT INTO audit (id, {columns}) SELECT {id}, {columns} FROM audit WHERE id = 1")
            assert (await flaw(audit)).startswith(told)
            await sql(audit, f"DELETE FROM audit WHERE id = {id}")
        await sql(audit, f"DELETE FROM audit WHERE id = {HEAD_ROW}")
        assert (await flaw(audit)).startswith("record 10 may not be the last")


@pytest.mark.promise("P54")
async def test_a_chain_that_was_written_anew_lacks_the_hash_that_was_kept_elsewhere(storage: StorageConfig) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 20)
        kept = (await audit.head()).hash
        await fill(audit, 5)
        assert await flaw(audit, kept) == ""
        await sql(audit, "DELETE FROM audit")
        await fill(audit, 25, "another")
        assert await flaw(audit) == ""
        assert "no record has the hash" in await flaw(audit, kept)


async def test_what_is_removed_at_the_end_stays_missing_when_more_is_written(storage: StorageConfig) -> None:
    async with audit_on(storage) as audit:
        await fill(audit, 10)
        await sql(audit, "DELETE FROM audit WHERE id > 8")
        await fill(audit, 3)
        assert await flaw(audit) == "record 9 is missing"


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=20), st.data())
@settings(max_examples=15)
def test_any_text_is_chained_and_any_change_of_it_is_found(texts: list[tuple[str, str]], data: st.DataObject) -> None:
    async def check(folder: str) -> None:
        async with audit_on(StorageConfig(url=f"sqlite:///{folder}/s.db")) as audit:
            for action, what in texts:
                await audit.record(action, what)
            assert await flaw(audit) == ""
            if texts:
                place = data.draw(st.integers(1, len(texts)))
                await sql(audit, f"UPDATE audit SET who = who || '!' WHERE id = {place}")
                assert await flaw(audit) == f"record {place} is not as it was written"

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(check, folder)


@pytest.mark.promise("P54")
async def test_several_processes_write_one_chain(postgresql: Any) -> None:
    storage = StorageConfig(url=postgresql.new_database())
    async with audit_on(storage) as one, audit_on(storage) as other, anyio.create_task_group() as tasks:

        async def write(audit: Audit, name: str) -> None:
            for number in range(100):
                await audit.record("act", f"{name} {number}")
                await fill(audit, 1, name)

        tasks.start_soon(write, one, "one")
        tasks.start_soon(write, other, "other")
    async with audit_on(storage) as audit:
        assert len(await audit.entries(1_000)) == 400
        assert await flaw(audit) == ""


async def test_a_restored_store_gets_the_trail_of_the_one_before(either_storage: StorageConfig, tmp_path: Any) -> None:
    async with audit_on(StorageConfig(url=f"sqlite:///{tmp_path}/old.db")) as restored:
        await fill(restored, 4)
        async with audit_on(either_storage) as live:
            await fill(live, 7)
            kept: list[Any] = []

            def copy(source: Connection) -> None:
                kept.append(audit_module.keep(source))

            await live._database.read(copy)

        def put(target: Connection) -> None:
            audit_module.put_back(target, kept[0])

        await restored._database.write(put)
        await restored.record("restored", "old.db", "backup")
        assert len(await restored.entries()) == 8
        assert await flaw(restored) == ""


async def test_a_store_without_a_trail_erases_none(tmp_path: Any) -> None:
    for name in ("empty", "full"):
        async with audit_on(StorageConfig(url=f"sqlite:///{tmp_path}/{name}.db")) as audit:
            await fill(audit, 5 if name == "full" else 0)
    empty, full = (SqliteSession(tmp_path / f"{name}.db") for name in ("empty", "full"))
    carry_over(empty, full)
    assert full.execute("SELECT count(*) FROM audit WHERE id > 0") == [(5,)]
    carry_over(full, empty)
    assert empty.execute("SELECT count(*) FROM audit WHERE id > 0") == [(5,)]
    empty.close()
    full.close()


# -- commands -----------------------------------------------------------------------------------------


def is_privileged(bot: Bot, name: str | None) -> bool:
    found = bot.dispatcher.registry.get(name or "")
    return found is not None and found.permission != "public"


@pytest.mark.promise("P54")
async def test_each_privileged_action_of_the_tour_leaves_one_record(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail]) as bot:
        names = await names_in(bot)
        outcomes = await take(bot, names)
        done = [
            outcome
            for outcome in outcomes
            if is_privileged(bot, outcome.command) and not (outcome.reply is not None and outcome.reply.question)
        ]
        found = [(action, result) for _, action, _, result in await trail(bot)]
        assert found == [(outcome.command, outcome.status) for outcome in done]
        assert {who for who, *_ in await trail(bot)} == {"local:owner"}
        assert len(found) > 50
        assert {"reset_analytics", "clear_errors", "shutdown"} <= {action for action, _ in found}
        assert await bot.audit.verify() is None


@pytest.mark.promise("P54")
async def test_each_denied_command_of_the_tour_leaves_one_record(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(commands=[fail], clock=clock) as bot:
        names = await names_in(bot)
        texts = [message(call, names).text for call in TOUR]
        names_of = [(text, found) for text in texts if (found := bot.dispatcher.registry.find(text[1:])[0])]
        denied = [(text, found.name) for text, found in names_of if found.permission != "public"]
        for number, (text, _) in enumerate(denied):
            clock.forward(10)
            assert (await bot.dispatch(said(text, str(5_000 + number)))).refused_by == "permission"
        assert [(who, action, result) for who, action, _, result in await trail(bot)] == [
            (f"local:{5_000 + number}", name, "denied") for number, (_, name) in enumerate(denied)
        ]


@pytest.mark.promise("P54")
async def test_resetting_writes_to_it_and_erases_nothing(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail]) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 900 spam"))
        await bot.dispatch(said("!fail", "900"))
        for text in ("!reset_analytics", "!clear_errors", "!forget_user 900", "!reset_profile"):
            asked = await bot.dispatch(owner_said(text))
            assert asked.reply is not None
            assert asked.reply.question is not None
            await bot.dispatch(answer(asked))
        assert [action for _, action, _, _ in await trail(bot)] == [
            "blacklist_add", "reset_analytics", "clear_errors", "forget_user", "reset_profile",
        ]  # fmt: skip
        assert await bot.audit.verify() is None


def answer(asked: Outcome, user: str = OWNER[1], *, yes: bool = True) -> Message:
    assert asked.reply is not None
    assert asked.reply.question is not None
    return Message("", User(user), OWNER[0], "c1", "g1", answer=Answer(asked.reply.question.token, yes))


async def confirmed(bot: Bot, text: str) -> Outcome:
    outcome = await bot.dispatch(answer(await bot.dispatch(owner_said(text))))
    assert outcome.status == "ok", str(outcome.reply)
    return outcome


async def test_a_question_leaves_a_record_of_what_was_done_only(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        asked = await bot.dispatch(owner_said("!forget_user 900"))
        assert await trail(bot) == []
        await bot.dispatch(answer(asked, yes=False))
        assert await trail(bot) == []
        asked = await bot.dispatch(owner_said("!forget_user 900"))
        await bot.dispatch(answer(asked, "42"))
        await bot.dispatch(answer(asked))
        await bot.dispatch(answer(asked))
        assert await trail(bot) == [
            ("local:42", "forget_user", "somebody else's question", "denied"),
            ("local:owner", "forget_user", "900", "ok"),
            ("local:owner", "confirm", "no such question", "denied"),
        ]


@command("ask", permission="owner")
async def ask(ctx: Context, what: str) -> Confirm:
    """Asks."""

    async def act(ctx: Context) -> Reply:
        return Reply("done")

    return Confirm("Really?", act)


async def test_what_was_filled_in_before_the_question_is_on_record(make_bot: MakeBot) -> None:
    async with make_bot(commands=[ask]) as bot:
        asked = await bot.dispatch(
            Message(
                "!ask",
                User(OWNER[1]),
                OWNER[0],
                "c1",
                "g1",
                options={"what": "all of it"},
                attachments=(Attachment("list.json", 2, content=b"{}"),),
            )
        )
        await bot.dispatch(answer(asked))
        assert await trail(bot) == [("local:owner", "ask", "what=all of it [list.json]", "ok")]


@command("sign", permission="owner", sensitive=True)
async def sign(ctx: Context, secret: str) -> str:
    """Takes a secret."""
    return "signed"


@command("poke", permission="admin")
async def poke(ctx: Context) -> str:
    """For administrators."""
    raise ValueError("broken")


async def test_secrets_are_no_part_of_it(make_bot: MakeBot) -> None:
    async with make_bot(commands=[sign]) as bot:
        await bot.dispatch(owner_said(f"!sign {SECRET}"))
        await bot.dispatch(owner_said("!sign"))
        await bot.dispatch(owner_said("!blacklist_add user 900 password=hunter2222"))
        assert [(what, result) for _, _, what, result in await trail(bot)] == [
            ("…", "ok"),
            ("", "invalid"),
            ("user 900 password=[redacted]", "ok"),
        ]


async def test_what_is_wrong_or_fails_is_on_record_and_what_is_for_everybody_is_not(make_bot: MakeBot) -> None:
    async with make_bot(commands=[poke, fail]) as bot:
        await bot.dispatch(said("!fail", "900"))
        await bot.dispatch(said("!ping", "901"))
        await bot.dispatch(owner_said("!blacklist_remove user 1 x"))
        failed = await bot.dispatch(said("!poke", "902", admin=True))
        await bot.dispatch(said("!poke", "903"))
        assert await trail(bot) == [
            ("local:owner", "blacklist_remove", "user 1 x", "invalid"),
            ("local:902", "poke", "", f"failed {failed.error_id}"),
            ("local:903", "poke", "", "denied"),
        ]


async def test_a_flood_of_strangers_does_not_grow_it(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 1 spam"))
        for _ in range(50):
            await bot.dispatch(said("!shutdown", "1"))  # listed
            await bot.dispatch(said("!shutdown", "2"))  # limited after the first
        for user in range(1_000):
            await bot.dispatch(said("!shutdown", str(10_000 + user)))
        clock.forward(61)
        await bot.dispatch(said("!shutdown", "99999"))
        found = await trail(bot)
        assert len(found) == 1 + MOST_DENIED + 2
        assert found[-2:] == [
            ("socbot", "denied", f"{1_001 - MOST_DENIED} more within a minute", "denied"),
            ("local:99999", "shutdown", "", "denied"),
        ]
        assert not any(who == "local:1" for who, *_ in found)


async def test_people_are_pseudonyms_where_ids_are_hashed(make_bot: MakeBot) -> None:
    async with make_bot(analytics=AnalyticsConfig(hash_ids=True)) as bot:
        await bot.dispatch(said("!shutdown", "900"))
        [(who, *_)] = await trail(bot)
        assert who.startswith("local:#")


# -- before the answer --------------------------------------------------------------------------------


async def test_the_record_is_stored_before_the_answer(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        await bot.dispatch(owner_said("!blacklist"))
        rows = await bot.database.read(lambda connection: connection.execute("SELECT action FROM audit WHERE id > 0"))
        assert rows == [("blacklist",)]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Somebody else is writing to the store, and does not end."""
    with closing(sqlite3.connect(folder / "data/socbot.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def impatient(folder: Path) -> StorageConfig:
    return StorageConfig(url=f"sqlite:///{folder}/data/socbot.db", busy_timeout=0.05)


async def test_a_store_that_fails_is_told_of_and_what_was_done_is_written_later(
    make_bot: MakeBot, tmp_path: Path
) -> None:
    async with make_bot(storage=impatient(tmp_path)) as bot:
        with held(tmp_path):
            outcome = await bot.dispatch(owner_said("!blacklist"))
            assert outcome.status == "ok"
            assert "could not be written to the audit trail" in str(outcome.reply)
            assert bot.audit.pending == 1
            await bot.dispatch(owner_said("!task_stats"))
        await bot.audit.flush()
        assert bot.audit.pending == 0
        assert [action for _, action, _, _ in await trail(bot)] == ["blacklist", "task_stats"]
        assert "audit trail" not in str((await bot.dispatch(owner_said("!blacklist"))).reply)


async def test_the_job_writes_what_the_store_refused_before(
    make_bot: MakeBot, tmp_path: Path, clock: FakeClock
) -> None:
    async with make_bot(clock=clock, jobs=True, storage=impatient(tmp_path)) as bot:
        await bot.audit.flush()
        with held(tmp_path):
            await bot.dispatch(owner_said("!blacklist"))
            assert bot.audit.pending == 1
        await clock.advance(2)
        await bot.database.write(lambda connection: None)  # behind what the job is writing
        assert bot.audit.pending == 0
        assert [action for _, action, _, _ in await trail(bot)][:2] == ["start", "blacklist"]


async def test_what_waits_is_bounded_and_what_is_lost_is_told(
    storage: StorageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socbot.systems.audit.MOST_PENDING", 5)
    async with audit_on(storage) as audit:
        for number in range(8):
            audit.remember("act", str(number))
        assert (audit.pending, audit.lost) == (5, 3)
        found = [shown(each) for each in reversed(await audit.entries())]
        found = [shown(each) for each in reversed(await audit.entries())]
        assert [what for _, _, what, _ in found] == ["0", "1", "2", "3", "4",
            "3 records were lost: the store failed for too long"]  # fmt: skip


async def test_a_command_that_is_cut_short_is_on_record_once(make_bot: MakeBot) -> None:
    started = anyio.Event()

    @command("wait", permission="owner")
    async def wait(ctx: Context) -> str:
        """Waits."""
        started.set()
        await anyio.sleep_forever()
        return "never"

    async with make_bot(commands=[wait]) as bot:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.dispatch, owner_said("!wait"))
            await started.wait()
            tasks.cancel_scope.cancel()
        [(who, action, _, result)] = await trail(bot)
        assert (who, action) == ("local:owner", "wait")
        assert result.startswith("failed")


@pytest.mark.parametrize("committed", [True, False])
async def test_a_write_whose_end_was_not_seen_is_neither_lost_nor_done_twice(
    storage: StorageConfig, committed: bool
) -> None:
    async with audit_on(storage) as audit:
        await audit.record("first")
        write = audit._database.write

        async def cut_short(work: Callable[[Connection], Any]) -> Any:
            if committed:
                await write(work)
            raise RuntimeError("cut short")

        audit._database.write = cut_short  # type: ignore[method-assign]
        audit.remember("second")
        with pytest.raises(RuntimeError):
            await audit.flush()
        audit._database.write = write  # type: ignore[method-assign]
        audit.remember("third")
        assert [each.action for each in reversed(await audit.entries())] == ["first", "second", "third"]
        assert await flaw(audit) == ""


# -- what the bot does by itself ----------------------------------------------------------------------


async def test_starting_and_stopping_are_on_record(make_bot: MakeBot) -> None:
    async with make_bot(jobs=True):
        pass
    async with make_bot() as bot:
        assert [(who, action) for who, action, _, _ in await trail(bot)] == [("socbot", "start"), ("socbot", "stop")]


@pytest.mark.promise("P54")
async def test_what_the_bot_does_about_people_by_itself_is_on_record(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        abuser = ("local", "7")
        for _ in range(3):
            await bot.rate_limiter.violate(abuser, "ping")
        await bot.blacklist.add("user", ("local", "8"), reason="x", by="local:owner", duration=60)
        await bot.blacklist.add("guild", ("local", "9"), reason="x", by="local:owner", duration=60)
        clock.forward(61)
        await bot.blacklist.sweep()
        assert await trail(bot) == [
            ("rate_limit", "timeout", "user local:7 for 5m, 2 rate limit violations within 1d", "ok"),
            ("rate_limit", "blacklist", "user local:7, 3 rate limit violations within 1d", "ok"),
            ("blacklist", "expired", "guild local:9, user local:8", "ok"),
        ]
        assert await bot.audit.verify() is None


@pytest.mark.promise("P54")
async def test_a_job_that_is_given_up_is_on_record(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        await bot._job_failed(Job("night_watch", bot.blacklist.sweep, Every(60.0), "watches"), "ValueError: broken")
        assert await trail(bot) == [("supervisor", "give up", "job night_watch: ValueError: broken", "failed")]


async def test_forgetting_a_person_keeps_the_trail_and_says_so(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        await bot.dispatch(said("!shutdown", "900"))
        asked = await bot.dispatch(owner_said("!forget_user 900"))
        assert "audit trail: 1 kept" in str((await bot.dispatch(answer(asked))).reply)
        assert await bot.audit.verify() is None


@pytest.mark.promise("P54")
async def test_neither_a_restore_nor_its_undoing_erases_any_of_it(make_bot: MakeBot, tmp_path: Path) -> None:
    backup = BackupConfig(folder=str(tmp_path / "backups"), paths=())
    async with make_bot(backup=backup) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 900 spam"))
        made = await bot.backups.now()
        await bot.dispatch(owner_said("!blacklist_add user 901 spam"))
        await confirmed(bot, f"!restore_backup {made.backup.name}")
        assert await bot.audit.verify() is None
        restored = await trail(bot)
        await bot.dispatch(owner_said("!blacklist_add user 902 spam"))
        await confirmed(bot, "!restore_backup undo")
        assert await bot.audit.verify() is None
        whole = await trail(bot)
        assert [what for _, action, what, _ in whole if action == "blacklist_add"] == [
            "user 900 spam", "user 901 spam", "user 902 spam",
        ]  # fmt: skip
        assert whole[: len(restored)] == restored
        assert [action for _, action, _, _ in whole].count("restore_backup") == 2


@pytest.mark.promise("P54")
async def test_a_webhook_that_is_paused_is_on_record(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        row = Row("ops", "custom", "", "…", ("all",), "info", True, "", 0.0, "local:owner", 0.0)
        bot.webhooks._courier._pause_it(Endpoint(row, lambda: None), "it is no more: 404")
        assert await trail(bot) == [("webhooks", "pause", "webhook ops, it is no more: 404", "ok")]
