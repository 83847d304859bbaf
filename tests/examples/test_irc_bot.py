"""The IRC host as a process of its own, on a real server, among people who have nothing but a socket."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from socbot.bot import COMMANDS
from tests.examples.irc import TIMEOUT, Person, irc_server, tagging

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "irc_bot.py"
CONFIG = """
bot: {{owners: ["irc:alice"]}}
storage: {{url: "sqlite:///{folder}/socbot.db"}}
rate_limit: {{cooldown: 0s, burst: 4, window: 60s, tolerance: 2}}
"""
Running: TypeAlias = "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with irc_server(tmp_path_factory.mktemp("ngircd")) as port:
        yield port


@pytest.fixture
def bob(server: int) -> Iterator[Person]:
    """Somebody in the channel, a stranger to the network's services."""
    with Person(server, "bob", "#ops") as person:
        yield person


@pytest.fixture
def bot(server: int, bob: Person, tmp_path: Path) -> Iterator[Running]:
    """The bot in the channel. However it ends, it ends in order."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
    with tagging(server) as port, (tmp_path / "stderr").open("wb") as errors:
        where = ["127.0.0.1", str(port), "socbot", "#ops", "--plain"]
        command = [sys.executable, "-W", "error", str(EXAMPLE), str(config), *where]
        process = subprocess.Popen(command, stderr=errors, cwd=tmp_path)
        try:
            bob.hear(":socbot!~socbot@127.0.0.1 JOIN")
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT) == 0
            bob.hear(":socbot!~socbot@127.0.0.1 QUIT")
        finally:
            process.kill()
            process.wait()
            said = (tmp_path / "stderr").read_text()
            print(said)
    assert "Traceback" not in said
    assert "never retrieved" not in said


@pytest.fixture
def alice(server: int) -> Iterator[Person]:
    """The owner, identified with services."""
    with Person(server, "alice", "#ops", identified=True) as person:
        yield person


@pytest.mark.usefixtures("bot")
def test_a_command_in_the_channel_is_answered_there_and_one_in_private_in_private(bob: Person) -> None:
    bob.say("just chatting")
    bob.say("!ping")
    assert " PRIVMSG #ops :Pong!" in bob.hear("Pong!")
    bob.say("!ping", to="socbot")
    assert " PRIVMSG bob :Pong!" in bob.hear("Pong!")


@pytest.mark.usefixtures("bot")
def test_a_long_listing_is_cut_into_lines_that_irc_takes(alice: Person) -> None:
    alice.say("!help")
    alice.say("!ping")
    lines = alice.hear_all("socbot", until="Pong!")
    text = b" ".join(line.partition(b" :")[2].strip() for line in lines).decode()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 512
    assert [each.name for each in COMMANDS if each.name not in text] == []


@pytest.mark.usefixtures("bot")
def test_a_spammer_is_told_in_private_then_warned(bob: Person) -> None:
    for _ in range(7):
        bob.say("!ping")
    assert " NOTICE bob :" in bob.hear("Burst Limit Exceeded")
    assert " NOTICE bob :" in bob.hear("Rate Limit Warning")


@pytest.mark.usefixtures("bot")
def test_who_is_listed_gets_silence(alice: Person, bob: Person) -> None:
    alice.say("!blacklist_add user ~bob spam")
    alice.hear("bob")
    bob.say("!ping")
    bob.say("!ping", to="socbot")
    alice.say("!uptime")
    heard = bob.hear_all("socbot", until="Up for")
    assert not [line for line in heard if b"Pong" in line or b" bob :" in line]


@pytest.mark.usefixtures("bot")
def test_who_takes_the_owners_nickname_is_not_the_owner(server: int) -> None:
    with Person(server, "alice", "#ops") as impostor:
        impostor.say("!shutdown")
        impostor.hear("Only the owner may use this command.")


def test_the_owner_confirms_by_typing_the_code_and_nobody_else_can(alice: Person, bob: Person, bot: Running) -> None:
    alice.say("!shutdown")
    code = re.search(r"confirm (\w{6})", bob.hear("confirm "))
    assert code is not None
    bob.say(f"confirm {code[1]}")
    alice.say("confirm WRONG1")
    alice.hear("That is not the code.")
    assert bot.poll() is None
    alice.say(f"confirm {code[1]}")
    assert bot.wait(TIMEOUT) == 0
