"""A start while PostgreSQL is away, or comes up later: nobody is served, and it is said plainly and in time."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, StorageConfig
from socbot.exit_codes import EXIT_OK, EXIT_TRY_AGAIN
from socbot.storage.errors import StoreUnreachable
from socbot.testing import OWNER
from tests.faults import Proxy, proxied
from tests.postgresql import Server, running_server
from tests.standin import Standin
from tests.test_cli import socbot

pytestmark = [pytest.mark.promise("P23"), pytest.mark.alone]

PATIENCE = 2.0
"""Seconds of ``storage.busy_timeout``; also the least that a connection is waited for."""

STARTED = 8.0
"""Seconds within which a process has said that it cannot start, on a busy machine."""

PASSWORD = "Canary-5ecret"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that is stopped and started, which the other tests' is not."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def database(own_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of one in which user 900 is listed."""
    url = own_server.new_database()
    folder = tmp_path_factory.mktemp("before")
    assert socbot(folder, "exec", "!blacklist_add user 900 spam", SOCBOT_STORAGE__URL=url).returncode == EXIT_OK
    return url.partition("@/")[2].partition("?")[0]


@pytest.fixture
def proxy(own_server: Server) -> Iterator[Proxy]:
    with proxied(own_server.socket) as proxy:
        yield proxy


@pytest.fixture
def url(database: str, proxy: Proxy) -> str:
    return f"postgresql://socbot:{PASSWORD}@127.0.0.1:{proxy.port}/{database}?sslmode=disable"


@pytest.fixture
def folder(url: str, tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(f"storage: {{url: '{url}', busy_timeout: {PATIENCE}s}}\n")
    (tmp_path / "config.yaml").chmod(0o600)
    return tmp_path


@contextmanager
def stopped(server: Server, proxy: Proxy, database: str) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def gone(server: Server, proxy: Proxy, database: str) -> Iterator[None]:
    proxy.down()
    yield


@contextmanager
def silent(server: Server, proxy: Proxy, database: str) -> Iterator[None]:
    proxy.swallows = True
    yield


@contextmanager
def taking_nobody(server: Server, proxy: Proxy, database: str) -> Iterator[None]:
    """As one does that is starting, stopping, recovering, or full."""
    server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    yield
    server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


AWAY = (stopped, *(pytest.param(each, marks=pytest.mark.slow) for each in (gone, silent, taking_nobody)))


@pytest.fixture
def away(request: pytest.FixtureRequest, own_server: Server, proxy: Proxy, database: str) -> Iterator[None]:
    """The server is away until the end of the test: stopped, unless the test asks for another way."""
    with getattr(request, "param", stopped)(own_server, proxy, database):
        yield


def says_so(ran: "subprocess.CompletedProcess[str]", proxy: Proxy) -> None:
    assert (ran.returncode, ran.stdout) == (EXIT_TRY_AGAIN, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith(f"socbot: PostgreSQL at 127.0.0.1:{proxy.port}, database ")
    assert "try again" in line
    assert PASSWORD not in line


@pytest.mark.parametrize("away", AWAY, indirect=True)
def test_nobody_is_served_and_it_is_said_in_a_line(folder: Path, proxy: Proxy, away: None) -> None:
    began = time.monotonic()
    says_so(socbot(folder, "run", "--transport", "console", given="!ping\n/as 900\n!ping\n"), proxy)
    assert time.monotonic() - began < STARTED
    log = "".join(path.read_text() for path in (folder / "logs").glob("*.log"))
    assert f"PostgreSQL at 127.0.0.1:{proxy.port}" in log
    assert PASSWORD not in log


@pytest.mark.parametrize("away", AWAY, indirect=True)
async def test_a_host_is_told_and_nothing_of_the_bot_is_left(tmp_path: Path, url: str, away: None) -> None:
    config = Config(
        storage=StorageConfig(url=url, busy_timeout=PATIENCE),
        backup=BackupConfig(enabled=False, folder=f"{tmp_path}/backups", paths=()),
    )
    with anyio.fail_after(STARTED), pytest.raises(StoreUnreachable, match="takes no connection"):
        async with Bot.from_config(config, owners=[OWNER]):
            raise AssertionError("it has started")
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("database")] == []


@pytest.mark.slow
def test_the_other_commands_say_it_too(folder: Path, proxy: Proxy, away: None) -> None:
    for arguments in (("exec", "!ping"), ("audit", "list"), ("backup", "now")):
        says_so(socbot(folder, *arguments), proxy)
    assert socbot(folder, "backup", "list").returncode == EXIT_OK, "which needs no store"
    ran = socbot(folder, "doctor")
    assert f"✗ PostgreSQL at 127.0.0.1:{proxy.port}" in ran.stdout
    assert PASSWORD not in ran.stdout


@pytest.mark.slow
async def test_on_discord_no_login_is_spent(folder: Path, proxy: Proxy, away: None) -> None:
    async with Standin() as standin:
        environment = standin.environment()
        says_so(await anyio.to_thread.run_sync(lambda: socbot(folder, "run", **environment)), proxy)
        assert standin.requests == []
        assert standin.gateway.identifies == []


@pytest.mark.slow
def test_a_bot_that_is_started_again_and_again_serves_once_the_server_is_up(folder: Path, own_server: Server) -> None:
    """As a service manager does it."""
    codes: list[int] = []
    printed: list[str] = []

    def keep_starting() -> None:
        while EXIT_OK not in codes:
            ran = socbot(folder, "run", "--transport", "console", given="/as 900\n!ping\n/as 901\n!ping\n")
            codes.append(ran.returncode)
            printed.append(ran.stdout)

    own_server.stop()
    starting = threading.Thread(target=keep_starting)
    starting.start()
    while len(codes) < 2 and starting.is_alive():
        starting.join(0.05)
    own_server.start()
    starting.join(60)
    assert codes == [EXIT_TRY_AGAIN] * (len(codes) - 1) + [EXIT_OK]
    assert printed[:-1] == [""] * (len(codes) - 1)
    assert printed[-1].count("Pong!") == 1, "who is listed is refused from the first command on"


def test_an_address_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    ran = socbot(tmp_path, "exec", "!ping", SOCBOT_STORAGE__URL="postgresql://me:hunter2@db/x?no_such_option=1")
    assert ran.returncode == 1
    assert "storage.url is no address of a PostgreSQL server" in ran.stderr
    assert "hunter2" not in ran.stderr
