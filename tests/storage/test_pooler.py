"""Behind a pooler that gives each transaction another of the server's connections, everything works as without."""

import anyio
import pytest

from socbot.config import StorageConfig
from socbot.storage.connection import Connection
from socbot.testing import owner_said, said
from tests.conftest import MakeBot
from tests.pgbouncer import pooled
from tests.postgresql import Server

SETTINGS = (
    "statement_timeout",
    "lock_timeout",
    "TimeZone",
    "idle_in_transaction_session_timeout",
    "synchronous_commit",
)


def settings(connection: Connection) -> list[str]:
    return [str(connection.execute(f"SHOW {name}")[0][0]) for name in SETTINGS]


@pytest.mark.slow
@pytest.mark.promise("P46")
async def test_two_bots_work_behind_a_pooler_of_transactions(postgresql: Server, make_bot: MakeBot) -> None:
    name = postgresql.new_database().partition("@/")[2].partition("?")[0]
    postgresql.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pooled(postgresql, connections=3) as folder:
        storage = StorageConfig(url=f"postgresql://socbot@/{name}?host={folder}", busy_timeout=4.0)
        async with make_bot(storage=storage, jobs=True) as bot, make_bot(storage=storage, jobs=True) as other:
            with anyio.fail_after(10):
                while not bot.supervisor.leader or not other.supervisor.leader:  # noqa: ASYNC110 (as an owner looks)
                    await anyio.sleep(0.05)
            assert bot.supervisor.leader == other.supervisor.leader
            assert bot.supervisor.leads is not other.supervisor.leads

            for number in range(20):  # more often than a statement is sent before it is prepared
                for each in (bot, other):
                    answer = await each.dispatch(owner_said(f"!blacklist_add user {900 + number} spam"))
                    assert answer.status == "ok", answer
                    assert (await each.dispatch(owner_said("!blacklist"))).status == "ok"
            assert (await bot.dispatch(said("!ping", "905"))).refused_by == "blacklist"
            assert await other.audit.verify() is None

            for _ in range(6):
                assert await bot.database.write(settings) == ["4s", "4s", "UTC", "4s", "on"]
                assert (await bot.database.read(settings))[:3] == ["4s", "4s", "UTC"]
