"""A PostgreSQL server of our own: private, empty, gone after the tests."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MISSING = "the tests need PostgreSQL's server: apt-get install -y postgresql"


class Server:
    """A running server, reached by a socket in its own folder."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder = folder
        self._binaries = binaries
        self._databases = 0

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c shared_buffers=16MB"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self._folder / "data"), "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self._folder / "data"))

    def create(self) -> None:
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", "socbot", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    @property
    def pid(self) -> int:
        """Of the server's first process, which has made all others."""
        return int((self._folder / "data" / "postmaster.pid").read_text().partition("\n")[0])

    @property
    def socket(self) -> str:
        """The Unix socket by which it is reached."""
        return str(self._folder / ".s.PGSQL.5432")

    def new_database(self) -> str:
        """The URL of a database with nothing in it."""
        self._databases += 1
        name = f"db{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://socbot:Canary-5ecret@/{name}?host={self._folder}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement and return what psql prints."""
        arguments = ("-h", str(self._folder), "-U", "socbot", "-d", database, "-qAtc", statement)
        return self._run("psql", "-X", "-v", "ON_ERROR_STOP=1", *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:  # the server refuses to run as root
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output = done.stdout.decode()
        assert done.returncode == 0, f"{program}: {output}"
        return output.strip()


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that runs until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short, because a socket's path must be
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = Server(folder, _binaries())
    try:
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    assert on_path, _MISSING
    return Path(on_path).parent
