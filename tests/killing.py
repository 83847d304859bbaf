"""What befalls a process: it is killed, a call of its is refused by the kernel, its disk has no room."""

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def at_step(which: int | str, then: Callable[[], object]) -> Callable[[str], None]:
    """A function to be told of each step by its name; at one of them it calls ``then``.

    :param which: its name, or its number counted from 0; -1 for none
    """
    count = -1

    def step(name: str) -> None:
        nonlocal count
        count += 1
        if which in (count, name):
            then()

    return step


def die() -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def find_no_room() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def output_until_killed(program: Sequence[str], seconds: float) -> bytes:
    """Let a process run for ``seconds`` from its first line on, then kill it; return all that it printed."""
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.readline()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        return output + process.stdout.read()


def traced(
    program: Sequence[str], *options: str, trace: Path | str = "/dev/null"
) -> "subprocess.CompletedProcess[bytes]":
    """Run a process to which the kernel does what strace's ``options`` say; what it called is in ``trace``."""
    return subprocess.run(["strace", "-f", "-y", "-qq", "-o", str(trace), *options, *program], capture_output=True)


@contextmanager
def small_disk(path: Path, size: str, *, options: str = "rw") -> Iterator[Path]:
    """A file system of that size at ``path``, which is to be a new folder; needs root."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},{options}", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all the room there is but for ``leave`` bytes; give it back by unlinking what is returned."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            os.truncate(ballast, file.tell() - leave)
            return ballast
    raise AssertionError("there was always room")
