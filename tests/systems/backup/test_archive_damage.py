"""A backup that is not what was packed is refused, whatever was done to it, and nothing of it is left behind."""

import hashlib
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from socbot.systems.backup import manifest as manifests
from socbot.systems.backup.archive import extract, read_manifest, verify
from socbot.systems.backup.errors import BackupError, Damaged, TooNewBackup
from socbot.systems.backup.keys import Keyring, signing_key
from socbot.systems.backup.manifest import TRAILER, File, Manifest
from socbot.systems.backup.sealed import HEADER
from socbot.systems.backup.unpacking import frame_of
from tests.systems.backup.packed import (
    HONEST,
    KEY,
    contents,
    forge,
    forge_text,
    keyring,
    listed,
    manifest_of,
    pack,
    taped,
)

FILES = tuple(HONEST.items())
each_kind = pytest.mark.parametrize(
    ("keys", "seal"),
    [(keyring(), False), (keyring(KEY), False), (keyring(KEY), True)],
    ids=["plain", "signed", "sealed"],
)


def refused(path: Path, out: Path, keys: Keyring | None = None) -> BackupError:
    """How it was refused, by everything that reads it, with nothing left."""
    keys = keys or keyring()
    assert not is_intact(path, keys)
    with pytest.raises(BackupError) as caught:
        extract(path, out / "out", keys)
    assert not (out / "out").exists()
    return caught.value


def is_intact(path: Path, keys: Keyring) -> bool:
    try:
        report = verify(path, keys)
    except BackupError:  # a key that nobody has: it cannot even be told
        return False
    assert report.intact or report.faults
    return report.intact


@pytest.mark.promise("P06")
@each_kind
def test_no_flipped_bit_goes_unnoticed(tmp_path: Path, keys: Keyring, seal: bool) -> None:
    flip(tmp_path, keys, seal, anywhere=300, at_the_ends=100)


@pytest.mark.slow
@pytest.mark.promise("P06")
@each_kind
def test_no_flipped_bit_of_thousands_goes_unnoticed(tmp_path: Path, keys: Keyring, seal: bool) -> None:
    flip(tmp_path, keys, seal, anywhere=4_000, at_the_ends=900)


def flip(folder: Path, keys: Keyring, seal: bool, *, anywhere: int, at_the_ends: int) -> None:
    pack(folder / "honest", keys=keys, seal=seal)
    honest = (folder / "honest").read_bytes()
    live = folder / "live"
    live.mkdir()
    (live / "socbot.db").write_bytes(b"what is live")
    ends = [*range(HEADER * 8), *range((len(honest) - TRAILER - 16) * 8, len(honest) * 8)]
    bits = [*Random(6).sample(ends, at_the_ends), *Random(6).sample(range(len(honest) * 8), anywhere)]
    for number, bit in enumerate(bits):
        flipped = bytearray(honest)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / "flipped").write_bytes(flipped)
        if number % 4:  # unpacking waits for the disk
            assert not is_intact(folder / "flipped", keys)
        else:
            refused(folder / "flipped", folder, keys)
    assert contents(live) == {"socbot.db": b"what is live"}


@pytest.mark.promise("P06")
@each_kind
def test_no_cut_goes_unnoticed(tmp_path: Path, keys: Keyring, seal: bool) -> None:
    large = HONEST | {"files/large": Random(3).randbytes(700_000)}  # some segments
    pack(tmp_path / "honest", large, keys, seal=seal)
    honest = (tmp_path / "honest").read_bytes()
    segments = [HEADER + n * (256 * 1024 + 16) for n in range(3)]
    for length in [0, 1, 4, 10, *segments, len(honest) - 1, *Random(5).sample(range(len(honest)), 43)]:
        (tmp_path / "cut").write_bytes(honest[:length])
        refused(tmp_path / "cut", tmp_path, keys)
    for more in (b"\0", b"x" * 100, honest):
        (tmp_path / "longer").write_bytes(honest + more)
        if more is not honest or seal:
            refused(tmp_path / "longer", tmp_path, keys)


@pytest.mark.promise("P06")
@pytest.mark.parametrize("name", [name for name, data in FILES if data])
def test_contents_that_were_exchanged_are_refused_by_the_files_name(tmp_path: Path, name: str) -> None:
    changed = [(each, data[:-1] + b"?" if each == name else data) for each, data in FILES]
    forge(tmp_path / "backup", listed(FILES), taped(changed))
    assert [(fault.file, fault.passed) for fault in verify(tmp_path / "backup", keyring()).faults] == [
        (name, False),
        ("", False),
    ]
    assert name in str(refused(tmp_path / "backup", tmp_path))


@pytest.mark.promise("P06")
def test_every_faulty_file_is_named(tmp_path: Path) -> None:
    changed = [(name, bytes(len(data))) for name, data in FILES]
    forge(tmp_path / "backup", listed(FILES), taped(changed))
    named = {fault.file for fault in verify(tmp_path / "backup", keyring()).faults}
    assert named == {"", *(name for name, data in FILES if data)}


@pytest.mark.promise("P06")
@pytest.mark.parametrize("gone", range(len(FILES)))
def test_a_missing_file_is_named(tmp_path: Path, gone: int) -> None:
    forge(tmp_path / "backup", listed(FILES), taped([*FILES[:gone], *FILES[gone + 1 :]]))
    error = refused(tmp_path / "backup", tmp_path)
    assert FILES[gone][0] in str(error)


@pytest.mark.promise("P06")
@pytest.mark.parametrize("place", range(len(FILES) + 1))
def test_an_extra_file_is_named(tmp_path: Path, place: int) -> None:
    extra = ("files/extra.txt", b"extra")
    forge(tmp_path / "backup", listed(FILES), taped([*FILES[:place], extra, *FILES[place:]]))
    assert "files/extra.txt" in str(refused(tmp_path / "backup", tmp_path))


@pytest.mark.promise("P06")
def test_a_file_that_was_emptied_is_named(tmp_path: Path) -> None:
    for name, data in FILES:
        if data:
            forge(tmp_path / "backup", listed(FILES), taped([(n, b"" if n == name else d) for n, d in FILES]))
            assert name in str(refused(tmp_path / "backup", tmp_path))


@pytest.mark.promise("P06")
@pytest.mark.parametrize("keys", [keyring(), keyring(KEY)], ids=["plain", "signed"])
def test_the_manifest_of_another_backup_is_refused(tmp_path: Path, keys: Keyring) -> None:
    pack(tmp_path / "one", {"a": b"1" * 100}, keys)
    pack(tmp_path / "two", {"a": b"2" * 100}, keys)
    one, two = (tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()
    end = one.rindex(b"\x5b\x2a\x4d\x18")
    assert len(one) == len(two)
    assert two.rindex(b"\x5b\x2a\x4d\x18") == end
    (tmp_path / "swapped").write_bytes(one[:end] + two[end:])
    refused(tmp_path / "swapped", tmp_path, keys)


@pytest.mark.promise("P06")
def test_two_sealed_backups_cannot_be_made_into_one(tmp_path: Path) -> None:
    keys = keyring(KEY)
    for name in ("one", "two"):
        pack(tmp_path / name, {"a": Random(name).randbytes(600_000)}, keys, seal=True)
    one, two = (tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()
    for cut in (HEADER, HEADER + 256 * 1024 + 16, HEADER + 2 * (256 * 1024 + 16)):
        (tmp_path / "both").write_bytes(one[:cut] + two[cut:])
        refused(tmp_path / "both", tmp_path, keys)
    first, second = HEADER, HEADER + 256 * 1024 + 16
    third = second + 256 * 1024 + 16
    (tmp_path / "moved").write_bytes(one[:first] + one[second:third] + one[first:second] + one[third:])
    refused(tmp_path / "moved", tmp_path, keys)


@pytest.mark.promise("P06")
@pytest.mark.parametrize(
    "field", ["sha256", "size", "name", "mode", "packed", "packed_sha256", "files", "format", "revision", "form"]
)
def test_a_field_that_was_taken_away_is_missed(tmp_path: Path, field: str) -> None:
    packed = zstandard.compress(taped(FILES))
    tree = msgspec.to_builtins(manifest_of(listed(FILES), packed))
    for file in tree["files"]:
        file.pop(field, None)
    tree.pop(field, None)
    forge_text(tmp_path / "backup", packed, msgspec.json.encode(tree))
    assert isinstance(refused(tmp_path / "backup", tmp_path), Damaged)


@pytest.mark.promise("P06")
@pytest.mark.parametrize(
    "changes",
    [
        {"files": []},
        {"format": 0},
        {"packed": 0},
        {"packed_sha256": "0" * 64},
        {"packed_sha256": ""},
        {"type": "yearly"},
        {"more": 1},
        {"signed_by": {"key_id": "0" * 16}},
    ],
)
def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    packed = zstandard.compress(taped(FILES))
    tree = msgspec.to_builtins(manifest_of(listed(FILES), packed)) | changes
    forge_text(tmp_path / "backup", packed, msgspec.json.encode(tree))
    assert isinstance(refused(tmp_path / "backup", tmp_path), Damaged)


@pytest.mark.promise("P06")
def test_a_manifest_that_was_forged_with_another_key_is_refused(tmp_path: Path) -> None:
    pack(tmp_path / "backup", keys=keyring(KEY))
    forged = forge(tmp_path / "forged", listed(FILES), taped(FILES), key=b"x" * 32)
    refused(forged, tmp_path, keyring(KEY))
    ours = forge(tmp_path / "ours", listed(FILES), taped(FILES), key=KEY)
    assert verify(ours, keyring(KEY)).intact  # so that the one before was refused for its key alone
    honest = read_manifest(ours, keyring(KEY))
    changed = structs.replace(honest, bot="0.1.1")
    ours.write_bytes(ours.read_bytes()[: honest.packed] + frame_of(manifests.written(changed, signing_key(KEY))))
    assert verify(ours, keyring(KEY)).intact
    ours.write_bytes(ours.read_bytes()[: honest.packed] + frame_of(manifests.written(changed, b"?" * 32)))
    assert "signature" in str(refused(ours, tmp_path, keyring(KEY)))


def test_an_older_manifest_that_says_less_is_still_read(tmp_path: Path) -> None:
    packed = zstandard.compress(taped(FILES))
    body = msgspec.json.encode(manifest_of(listed(FILES), packed))
    forge_text(tmp_path / "backup", packed, body.replace(b',"head":""', b"", 1))
    assert verify(tmp_path / "backup", keyring()).intact


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    packed = zstandard.compress(taped(FILES))
    forge_text(tmp_path / "backup", packed, b'{"format":2,"whatever":[{}]}')
    with pytest.raises(TooNewBackup, match="format 2"):
        read_manifest(tmp_path / "backup", keyring())


def test_what_is_told_of_a_forged_name_is_inert(tmp_path: Path) -> None:
    name = "files/@everyone `x` [a](http://b)\u202e"
    forge(tmp_path / "backup", (File(name, 0, 0o600, "0" * 64),), b"")
    text = str(refused(tmp_path / "backup", tmp_path))
    assert "@everyone" not in text
    assert "\u202e" not in text


# -- anything at all ----------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_no_text_of_a_manifest_raises_anything_else(body: bytes) -> None:
    trailer = manifests.written(manifest_of(listed([("a", b"")]), b""), None)[-TRAILER:]
    end = hashlib.sha256(body + bytes(32)).digest() + trailer[32:]
    with pytest.raises(Damaged):
        manifests.read(body, end)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELDS = [*Manifest.__struct_fields__]


@given(st.sampled_from(FIELDS), json_values)
def test_no_value_in_a_manifest_raises_anything_else(field: str, value: object) -> None:
    tree = msgspec.to_builtins(manifest_of(listed([("a", b"")]), b"")) | {field: value}
    try:
        body = msgspec.json.encode(tree)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return
    end = hashlib.sha256(body + bytes(32)).digest() + bytes(32) + bytes(16)
    with suppress(BackupError):
        manifests.read(body, end)


@pytest.mark.promise("P30")
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"format":1,"files":' + b"[" * 100_000,
        b'{"format":' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b"{}",
        b"",
    ],
    ids=["brackets", "brackets within", "digits", "bytes", "nothing in it", "nothing"],
)
def test_a_manifest_cannot_exhaust_us(tmp_path: Path, body: bytes) -> None:
    forge_text(tmp_path / "backup", zstandard.compress(b""), body)
    assert isinstance(refused(tmp_path / "backup", tmp_path), Damaged)


def test_a_manifest_longer_than_is_read_is_refused_unread(tmp_path: Path) -> None:
    forge_text(tmp_path / "backup", zstandard.compress(b""), b'"' + b"x" * manifests.MOST_BYTES + b'"')
    with pytest.raises(Damaged, match="does not end"):
        read_manifest(tmp_path / "backup", keyring())


def test_a_manifest_longer_than_is_read_is_not_written() -> None:
    files = tuple(File(f"files/{n:060}", 0, 0o600, "0" * 64) for n in range(80_000))
    with pytest.raises(BackupError, match="more than 12 MiB"):
        manifests.written(manifest_of(files, b""), None)


@given(st.text(max_size=60))
def test_a_name_that_is_taken_stays_within_its_folder(name: str) -> None:
    try:
        manifests.check_names([name])
    except Damaged:
        return
    folder = Path("/somewhere/private")
    assert (folder / name).resolve().is_relative_to(folder)
    assert (folder / name).resolve() != folder
