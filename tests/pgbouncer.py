"""A PgBouncer in front of a PostgreSQL of the tests', which gives each transaction whichever connection is free."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgresql import Server


@contextmanager
def pooled(server: Server, connections: int = 2) -> Iterator[Path]:
    """The folder of the socket by which the server is reached through it."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    assert Path(program).exists(), "the slow tests need it: apt-get install -y pgbouncer"
    folder = Path(tempfile.mkdtemp(prefix="pool"))
    (folder / "pgbouncer.ini").write_text(
        "[databases]\n"
        f"* = host={Path(server.socket).parent} user=socbot\n"
        "[pgbouncer]\n"
        f"unix_socket_dir = {folder}\nlisten_port = 5432\nlogfile = {folder}/log\n"
        "auth_type = any\npool_mode = transaction\n"
        f"default_pool_size = {connections}\n"
        # Each transaction on the connection that was idle for the longest, so that two in a row are seldom on the same.
        "server_round_robin = 1\n"
    )
    command = [program, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + 10
        while not _is_reached(folder / ".s.PGSQL.5432"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < ends
            time.sleep(0.02)
        yield folder
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _is_reached(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
