"""What is packed comes out as it was, and the file that holds it is private, whole, and readable without socbot."""

import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from random import Random

import anyio
import pytest
import zstandard

from socbot.config import StorageConfig
from socbot.storage.database import Database
from socbot.storage.migrations import HEAD
from socbot.storage.snapshots import Moment, Source
from socbot.systems.backup import paths, tape
from socbot.systems.backup.archive import clear_leftovers, extract, is_sealed, read_manifest, verify, write_archive
from socbot.systems.backup.errors import BackupError, Cancelled, KeyNeeded, NotSigned, Unreadable
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.packing import held_still
from socbot.testing import FakeClock
from tests.killing import traced
from tests.systems.backup.packed import HONEST, INFO, KEY, contents, keyring, pack

KEYRINGS = {
    "plain": (keyring(), False),
    "signed": (keyring(KEY), False),
    "sealed": (keyring(KEY), True),
    "sealed with a passphrase": (keyring("correct horse"), True),
}
every_way = pytest.mark.parametrize(("keys", "seal"), KEYRINGS.values(), ids=KEYRINGS.keys())


@every_way
def test_what_was_packed_comes_out(tmp_path: Path, keys: Keyring, seal: bool) -> None:
    made = pack(tmp_path / "backup", keys=keys, seal=seal)
    assert read_manifest(tmp_path / "backup", keys) == made
    assert [(file.name, file.size) for file in made.files] == [(name, len(data)) for name, data in HONEST.items()]
    assert extract(tmp_path / "backup", tmp_path / "out", keys) == made
    assert contents(tmp_path / "out") == HONEST
    assert verify(tmp_path / "backup", keys).intact
    assert is_sealed(tmp_path / "backup") == seal


@every_way
@pytest.mark.parametrize("size", [1, 262_143, 262_144, 262_145, 3_000_000])
def test_every_length_comes_out(tmp_path: Path, keys: Keyring, seal: bool, size: int) -> None:
    files = {"files/a": Random(size).randbytes(size), "files/b": b"b"}
    pack(tmp_path / "backup", files, keys, seal=seal)
    extract(tmp_path / "backup", tmp_path / "out", keys)
    assert contents(tmp_path / "out") == files


def test_without_socbot_zstd_and_tar_read_it(tmp_path: Path) -> None:
    long = "files/" + "f" * 180 + "/" + "n" * 200
    pack(tmp_path / "backup.tar.zst", HONEST | {long: b"long"})
    (tmp_path / "out").mkdir()
    subprocess.run("zstd -dc ../backup.tar.zst | tar x", shell=True, check=True, cwd=tmp_path / "out")
    assert contents(tmp_path / "out") == HONEST | {long: b"long"}


def test_a_file_too_large_for_the_old_field_has_a_header_that_tar_reads(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tape.header("store/large", 9 << 30, 0o600, 0))) as tar:
        found = tar.next()
    assert found is not None
    assert (found.name, found.size) == ("store/large", 9 << 30)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        pack(tmp_path / "backup")
    finally:
        os.umask(before)
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def test_permissions_come_back(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o750)
    now = Moment("sqlite", "pages", HEAD, 0, iter((Source("files/run.sh", script),)))
    write_archive(tmp_path / "backup", INFO, now, keys=keyring(), seal=False)
    extract(tmp_path / "backup", tmp_path / "out", keyring())
    assert (tmp_path / "out/files/run.sh").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_a_backup_is_never_written_over(tmp_path: Path) -> None:
    pack(tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    with pytest.raises(BackupError, match="already"):
        pack(tmp_path / "backup", {"other": b""})
    assert (tmp_path / "backup").read_bytes() == before


def test_one_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    now = Moment("sqlite", "pages", HEAD, 0, iter([Source(f"a{n}", content=b"x") for n in range(9)]))
    with pytest.raises(Cancelled):
        write_archive(tmp_path / "b", INFO, now, keys=keyring(), seal=False, cancelled=lambda: next(asked))
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_up_to_all_of_it(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    content = bytes(3_000_000)
    now = Moment("sqlite", "pages", HEAD, 3_000_000, iter((Source("a", content=content), Source("b", content=b"1"))))
    write_archive(tmp_path / "b", INFO, now, keys=keyring(), seal=False, progress=lambda *each: told.append(each))
    assert told[-1] == (3_000_001, 3_000_001)
    told.clear()
    extract(tmp_path / "b", tmp_path / "out", keyring(), progress=lambda *each: told.append(each))
    assert told == sorted(told)
    assert told[-1] == (3_000_001, 3_000_001)


def test_what_a_crash_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".backup_hourly_20260101_000000.tar.zst.part").write_bytes(b"half")
    staging = tmp_path / ".backup_hourly_20260101_000000.tar.zst.staging"
    staging.mkdir()
    (staging / "socbot.db").write_bytes(b"half")
    pack(tmp_path / "backup_manual_20260101_000000.tar.zst")
    (tmp_path / "notes.part").write_bytes(b"somebody's")
    assert len(clear_leftovers(tmp_path)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup_manual_20260101_000000.tar.zst", "notes.part"]


BACKING_UP = """
import os, sys
from pathlib import Path
from socbot.config import StorageConfig
from socbot.systems.backup.archive import back_up
from socbot.systems.backup.errors import NoRoom
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Info
try:
    back_up(Path(sys.argv[2]), Info("manual", 1e9, "0"), StorageConfig("sqlite:///" + sys.argv[1]), [],
            keys=Keyring(b"k" * 32, (), os.urandom), seal=sys.argv[3] == "seal")
except NoRoom as error:
    print("no room")
"""


def back_up_under(strace: list[str], folder: Path, how: str = "plain") -> str:
    """Back up a store in a process of its own, to which the kernel does what ``strace`` says."""

    async def make_store() -> None:
        async with Database.open(StorageConfig(url=f"sqlite:///{folder}/data/socbot.db"), FakeClock()):
            pass

    anyio.run(make_store)
    target = folder / "backups/backup_manual_20260101_000000.tar.zst"
    program = [sys.executable, "-c", BACKING_UP, str(folder / "data/socbot.db"), str(target), how]
    return traced(program, *strace).stdout.decode().strip()


@pytest.mark.parametrize("fault", ["fsync:error=ENOSPC:when=1", "fsync:error=ENOSPC:when=2", "rename:error=ENOSPC"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    assert back_up_under(["-e", f"inject={fault}"], tmp_path) == "no room"
    assert [path.name for path in tmp_path.glob("backups/*")] == [".gitignore"]


@pytest.mark.parametrize(("call", "how"), [("fsync", "seal"), ("rename", "plain"), ("unlink,unlinkat", "plain")])
def test_what_a_kill_left_is_gone_with_the_next_one(tmp_path: Path, call: str, how: str) -> None:
    back_up_under(["-e", f"inject={call}:signal=KILL:when=1"], tmp_path, how)
    assert len(list(tmp_path.glob("backups/*"))) > 1
    for path in tmp_path.glob("backups/backup_*"):
        assert verify(path, keyring(b"k" * 32)).intact
        path.unlink()
    assert back_up_under([], tmp_path, how) == ""
    assert [path.name for path in tmp_path.glob("backups/.*")] == [".gitignore"]
    [path] = tmp_path.glob("backups/backup_*")
    assert verify(path, keyring(b"k" * 32)).intact


# -- keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [KEY, "correct horse"])
@pytest.mark.parametrize("use", [read_manifest, verify])
def test_a_sealed_backup_needs_its_key_for_everything(tmp_path: Path, secret: bytes | str, use: object) -> None:
    pack(tmp_path / "backup", keys=keyring(secret), seal=True)
    for keys in (keyring(), keyring(b"x" * 32), keyring("wrong")):
        with pytest.raises(KeyNeeded):
            use(tmp_path / "backup", keys)  # type: ignore[operator]
        with pytest.raises(KeyNeeded):
            extract(tmp_path / "backup", tmp_path / "out", keys)
    assert not (tmp_path / "out").exists()


def test_after_a_rotation_older_backups_still_open(tmp_path: Path) -> None:
    pack(tmp_path / "first", keys=keyring("first"), seal=True)
    pack(tmp_path / "second", keys=keyring(b"2" * 32), seal=True)
    rotated = keyring(b"3" * 32, b"2" * 32, "first")
    pack(tmp_path / "third", keys=rotated, seal=True)
    assert all(verify(tmp_path / name, rotated).intact for name in ("first", "second", "third"))
    with pytest.raises(KeyNeeded):
        read_manifest(tmp_path / "third", keyring(b"2" * 32))


def test_a_passphrase_is_stretched_once_for_many_backups(tmp_path: Path) -> None:
    pack(tmp_path / "a", keys=keyring("correct horse", seed=1), seal=True)
    again = keyring("correct horse", seed=2)
    read_manifest(tmp_path / "a", again)
    pack(tmp_path / "b", keys=again, seal=True)
    assert (tmp_path / "a").read_bytes()[16:40] == (tmp_path / "b").read_bytes()[16:40]  # the key's id and its salt
    assert len(again._stretched) == 1


def test_two_backups_of_the_same_share_no_sealed_byte(tmp_path: Path) -> None:
    keys = keyring(KEY)
    pack(tmp_path / "a", keys=keys, seal=True)
    pack(tmp_path / "b", keys=keys, seal=True)
    first, second = (tmp_path / "a").read_bytes()[88:], (tmp_path / "b").read_bytes()[88:]
    assert first[:64] != second[:64]


def test_a_key_tells_what_bears_no_signature(tmp_path: Path) -> None:
    pack(tmp_path / "backup")
    with pytest.raises(NotSigned):
        read_manifest(tmp_path / "backup", keyring(KEY))
    assert not verify(tmp_path / "backup", keyring(KEY)).intact
    assert verify(tmp_path / "backup", keyring(KEY), unsigned=True).intact
    with pytest.raises(NotSigned):
        extract(tmp_path / "backup", tmp_path / "out", keyring(KEY))


def test_a_signature_by_a_key_that_is_not_ours_is_refused_where_there_is_one(tmp_path: Path) -> None:
    pack(tmp_path / "backup", keys=keyring(KEY))
    with pytest.raises(KeyNeeded):
        read_manifest(tmp_path / "backup", keyring(b"x" * 32))
    report = verify(tmp_path / "backup", keyring())
    assert report.intact
    assert any("not looked at" in check.text for check in report.checks)


# -- what changes while it is read --------------------------------------------------------------------


def packing(path: Path, target: Path) -> None:
    now = Moment("sqlite", "pages", HEAD, 0, iter((Source("files/it", path),)))
    write_archive(target, INFO, now, keys=keyring(), seal=False)


def test_a_link_a_pipe_and_a_folder_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "missing"):
        with pytest.raises(Unreadable, match=name):
            packing(tmp_path / name, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_path_that_is_named_may_be_a_link_and_what_is_beneath_it_may_not(tmp_path: Path) -> None:
    folder = tmp_path / "attachments"
    folder.mkdir()
    (tmp_path / "real.yaml").write_bytes(b"real")
    (tmp_path / "config.yaml").symlink_to("real.yaml")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "file").write_bytes(b"file")
    found = paths.sources([str(tmp_path / "config.yaml"), str(folder)])
    now = Moment("sqlite", "pages", HEAD, 0, held_still(list(found)))
    write_archive(tmp_path / "backup", INFO, now, keys=keyring(), seal=False)
    extract(tmp_path / "backup", tmp_path / "out", keyring())
    assert list(contents(tmp_path / "out").values()) == [b"real", b"file"]


def test_a_large_file_that_grows_is_taken_as_it_was_at_the_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(bytes(8_000_000))
    ended = threading.Event()

    def grow() -> None:
        with log.open("ab", buffering=0) as file:
            while not ended.is_set():
                file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        packing(log, tmp_path / "backup")
    finally:
        ended.set()
        writer.join()
    assert verify(tmp_path / "backup", keyring()).intact


# -- an operator's own databases ----------------------------------------------------------------------


@pytest.mark.promise("P05")
@pytest.mark.parametrize("name", ["own.db", "own"])
def test_an_operators_own_database_is_one_moment_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / "own" / name
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE one (x)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO one VALUES (1)")
    files = [Source(f"files/own/{each.name}", each) for each in sorted(path.parent.iterdir())]
    assert len(files) == 3
    now = Moment("sqlite", "pages", HEAD, 0, held_still(files))
    write_archive(tmp_path / "backup", INFO, now, keys=keyring(), seal=False)
    connection.execute("COMMIT")  # and it was not disturbed
    connection.close()
    extract(tmp_path / "backup", tmp_path / "out", keyring())
    assert list(contents(tmp_path / "out")) == [f"files/own/{name}"]
    copy = sqlite3.connect(tmp_path / "out/files/own" / name)
    assert copy.execute("SELECT count(*) FROM one").fetchall() == [(0,)]
    copy.close()


def test_what_is_merely_called_like_a_database_is_a_file(tmp_path: Path) -> None:
    files = {"thumbs.db": b"\xd0\xcf" * 5_000, "notes.db": b"x", "plain.txt": b"SQLite format 3\0", "a-wal": b"surf"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    kept = list(held_still([Source(name, tmp_path / name) for name in files]))
    assert [each.path for each in kept] == [tmp_path / name for name in files]


def test_a_database_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE one (x)")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unreadable, match=r"own\.db"):
        list(held_still([Source("files/own.db", path)]))
    connection.close()


def test_a_sealed_backup_is_not_larger_than_it_must_be(tmp_path: Path) -> None:
    data = {"a": Random(1).randbytes(1_000_000)}
    pack(tmp_path / "plain", data)
    pack(tmp_path / "sealed", data, keyring(KEY), seal=True)
    assert (tmp_path / "sealed").stat().st_size < (tmp_path / "plain").stat().st_size + 1_000


def test_the_manifest_is_behind_what_zstd_reads(tmp_path: Path) -> None:
    pack(tmp_path / "backup")
    with (tmp_path / "backup").open("rb") as file:
        unpacked = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    assert unpacked.endswith(bytes(1024))
    assert b'"format":1' not in unpacked
