"""A real IRC server for tests, people on it, and the network's services, which tag what identified people say."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

TIMEOUT = 20.0
IDENTIFIED = b"~account"
"""The user name by which the relay knows who is identified, with their nickname as account."""

_CONFIG = """
[Global]
Name = irc.test.example
Info = a server for tests
Network = testnet
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = "hello"
[Limits]
MaxConnectionsIP = 0
MaxPenaltyTime = 0
MaxNickLength = 20
[Options]
DNS = no
Ident = no
PAM = no
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def irc_server(folder: Path) -> Iterator[int]:
    """Run ngircd on a free port."""
    found = shutil.which("ngircd") or shutil.which("ngircd", path="/usr/sbin:/usr/local/sbin")
    assert found, "these tests need an IRC server: apt-get install -y ngircd"
    port = free_port()
    config = folder / "ngircd.conf"
    config.write_text(_CONFIG.format(port=port))
    folder.chmod(0o755)
    process = subprocess.Popen([found, "-n", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def _wait_for(port: int) -> None:
    until = time.monotonic() + TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until, f"nothing answers on port {port}"
            time.sleep(0.02)
        else:
            return


@contextmanager
def tagging(server: int) -> Iterator[int]:
    """Stand before a server that knows no accounts, and tag lines as a network with services does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, server), daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, server: int) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        upstream = socket.create_connection(("127.0.0.1", server))
        threading.Thread(target=_pass_on, args=(client, upstream, bytes), daemon=True).start()
        threading.Thread(target=_pass_on, args=(upstream, client, _tagged), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with source, target, source.makefile("rb") as lines:
        try:
            for line in lines:
                target.sendall(change(line))
        except OSError:
            return  # the other side has left
        finally:
            target.close()


def _tagged(line: bytes) -> bytes:
    nick, _, rest = line.partition(b"!")
    if rest.startswith(IDENTIFIED + b"@") and b" PRIVMSG " in line:
        return b"@account=" + nick[1:] + b";time=2026-01-01T00:00:00Z " + line
    return line


class Person:
    """Somebody on IRC, with nothing but a socket."""

    def __init__(self, port: int, nick: str, channel: str, *, identified: bool = False) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._lines = self._socket.makefile("rb")
        self.nick, self.channel = nick, channel
        self.heard: list[bytes] = []
        user = IDENTIFIED.decode().removeprefix("~") if identified else "stranger"
        self.send(f"NICK {nick}\r\nUSER {user} 0 * :{nick}")
        self.hear(" 376 ")
        self.send(f"JOIN {channel}")
        self.hear(" 366 ")

    def send(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\r\n")

    def say(self, text: str, to: str = "") -> None:
        self.send(f"PRIVMSG {to or self.channel} :{text}")

    def hear(self, wanted: str) -> str:
        """Wait for a line that holds ``wanted``."""
        while True:
            raw = self._lines.readline()
            assert raw, f"the connection ended before {wanted!r}; heard {self.heard[-5:]}"
            self.heard.append(raw)
            line = raw.decode().rstrip("\r\n")
            if line.startswith("PING"):
                self.send(line.replace("PING", "PONG", 1))
            if wanted in line:
                return line

    def hear_all(self, nick: str, until: str) -> list[bytes]:
        """What ``nick`` says until it says ``until``."""
        start = len(self.heard)
        self.hear(until)
        return [line for line in self.heard[start:] if line.startswith(f":{nick}!".encode())]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
