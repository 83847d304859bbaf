"""Secrets are sealed for their place, and a key is made once."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from socbot.documents import ConfigError
from socbot.sealing import Seal, Unreadable, make_key, read_key

SECRET = "https://discord.com/api/webhooks/1/token-äöü"


def test_what_was_sealed_is_opened() -> None:
    seal = Seal(bytes(32))
    sealed = seal.seal(SECRET, "here")
    assert "token" not in sealed
    assert seal.open(sealed, "here") == SECRET
    assert seal.seal(SECRET, "here") != sealed


def refuses(seal: Seal, sealed: str, place: str) -> bool:
    try:
        seal.open(sealed, place)
    except Unreadable:
        return True
    return False


def test_what_was_changed_moved_or_sealed_by_another_is_not() -> None:
    seal = Seal(bytes(32))
    sealed = seal.seal(SECRET, "here")
    for position, letter in enumerate(sealed):
        changed = sealed[:position] + ("A" if letter != "A" else "B") + sealed[position + 1 :]
        assert refuses(seal, changed, "here"), position
        assert refuses(seal, sealed[:position], "here"), position
    assert refuses(seal, sealed, "there")
    assert refuses(Seal(os.urandom(32)), sealed, "here")


def test_a_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "webhooks.key"
    assert read_key(file) is None
    key = make_key(file)
    assert len(key) == 32
    assert read_key(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir() if each.name != ".gitignore"] == [file.name]
    assert make_key(file) == key, "one that is there is kept"


def test_of_two_that_make_it_at_once_one_key_is_boths(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda number: make_key(tmp_path / "webhooks.key"), range(32)))
    assert len(keys) == 1


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe", b"AAAA"])
def test_what_is_no_key_is_said_without_what_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "webhooks.key"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^webhooks.key: ") as caught:
        read_key(file)
    assert "short" not in str(caught.value)
