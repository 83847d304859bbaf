"""What is sealed opens as it was, anywhere in it, and not at all once it was touched."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socbot.systems.backup.errors import BackupError, Damaged, KeyNeeded, TooNewBackup
from socbot.systems.backup.keys import Keyring, Stretch
from socbot.systems.backup.sealed import HEADER, SEGMENT, TAG, Sealer, Unsealed
from tests.systems.backup.packed import KEY, keyring

PLAIN = bytes(range(256)) * 3_000  # three segments
WHOLE = SEGMENT + TAG


def sealed(plain: bytes, keys: Keyring, step: int = 100_000) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, keys)
    for start in range(0, len(plain), step):
        sealer.write(plain[start : start + step])
    sealer.close()
    return file.getvalue()


def unsealed(data: bytes, keys: Keyring) -> Unsealed:
    return Unsealed(lambda offset, count: data[offset : offset + count], len(data), keys)


def all_of(data: bytes, keys: Keyring) -> bytes:
    opened, found = unsealed(data, keys), b""
    while len(found) < opened.size:
        found += opened.read_at(len(found), opened.size)
    return found


@settings(max_examples=60)
@given(
    st.sampled_from([0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 7]),
    st.integers(1, 3 * SEGMENT),
    st.integers(0, 2 * SEGMENT),
)
def test_it_opens_as_it_was(size: int, step: int, offset: int) -> None:
    keys, plain = keyring(KEY), PLAIN[:size]
    data = sealed(plain, keys, step)
    assert all_of(data, keys) == plain
    piece = unsealed(data, keys).read_at(offset, 50)
    assert plain[offset:].startswith(piece)
    assert bool(piece) == (offset < size)


TOUCHED: dict[str, Callable[[bytes], bytes]] = {
    "cut behind a segment": lambda data: data[: HEADER + 2 * WHOLE],
    "cut behind the first": lambda data: data[: HEADER + WHOLE],
    "cut behind the header": lambda data: data[:HEADER],
    "cut within a tag": lambda data: data[:-3],
    "cut within the header": lambda data: data[:20],
    "two exchanged": lambda data: (
        data[:HEADER] + data[HEADER + WHOLE : HEADER + 2 * WHOLE] + data[HEADER : HEADER + WHOLE]
        + data[HEADER + 2 * WHOLE :]
    ),
    "one left out": lambda data: data[:HEADER] + data[HEADER + WHOLE :],
    "one twice": lambda data: data[: HEADER + WHOLE] + data[HEADER:],
    "something behind it": lambda data: data + b"\0",
    "another salt": lambda data: data[:45] + bytes([data[45] ^ 1]) + data[46:],
    "another prefix": lambda data: data[:75] + bytes([data[75] ^ 1]) + data[76:],
}  # fmt: skip


@pytest.mark.promise("P06")
@pytest.mark.parametrize("touch", TOUCHED.values(), ids=TOUCHED.keys())
def test_once_touched_it_does_not_open(touch: Callable[[bytes], bytes]) -> None:
    keys = keyring(KEY)
    with pytest.raises(Damaged):
        all_of(touch(sealed(PLAIN, keys)), keys)


def test_every_byte_of_the_header_counts() -> None:
    keys = keyring(KEY)
    data = sealed(b"plain", keys)
    for at in range(HEADER):
        with pytest.raises(BackupError):
            all_of(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :], keys)


def test_another_key_and_a_newer_version_say_so() -> None:
    data = sealed(b"plain", keyring(KEY))
    with pytest.raises(KeyNeeded):
        unsealed(data, keyring(b"x" * 32))
    with pytest.raises(TooNewBackup):
        unsealed(data[:10] + b"\x02" + data[11:], keyring(KEY))


@pytest.mark.promise("P08")
@pytest.mark.parametrize(
    "stretch", [Stretch(bytes(16), 40), Stretch(bytes(16), 19, 16), Stretch(bytes(16), 15, 8, 200)]
)
def test_a_header_cannot_ask_for_more_than_a_key_needs(stretch: Stretch) -> None:
    with pytest.raises(Damaged, match="make a key"):
        stretch.key("correct horse")


def test_scrypt_is_scrypt() -> None:
    """The second vector of RFC 7914, as far as its first 32 bytes."""
    found = Stretch(b"NaCl", 10, 8, 16).key("password")
    assert found.hex() == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
