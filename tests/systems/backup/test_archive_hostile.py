"""No archive can write outside of its folder, link out of it, or fill the disk."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from msgspec import structs

from socbot.systems.backup import archive, tape
from socbot.systems.backup.archive import Limits, extract, verify
from socbot.systems.backup.errors import BackupError, Damaged, NoRoom
from socbot.systems.backup.manifest import MOST_FILES, File, written
from socbot.systems.backup.unpacking import frame_of
from tests.systems.backup.packed import MADE_AT, contents, forge, keyring, listed, manifest_of, pack, taped

HONEST = ("files/honest.txt", b"honest")


def member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", link: str = "", size: int | None = None
) -> bytes:
    """A member as Python's own library writes it, whatever it is."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime, info.mode = kind, link, MADE_AT, 0o600
    info.size = len(data) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + data + tape.padding(len(data))


def named(*names: str) -> Callable[[Path], Path]:
    """The manifest lists such names, and the members have them too."""

    def make(target: Path) -> Path:
        files = [HONEST, *((name, b"hostile") for name in names)]
        try:
            tar = taped(files)  # so that the names alone are what is wrong
        except UnicodeEncodeError:
            tar = b"".join(member(name, data=data) for name, data in files) + tape.END
        return forge(target, listed(files), tar)

    return make


def members(*found: bytes, files: tuple[tuple[str, bytes], ...] = (("files/a", b"aaaa"),)) -> Callable[[Path], Path]:
    """The manifest is honest about ``files``; what is on the tape is not."""

    def make(target: Path) -> Path:
        return forge(target, listed([HONEST, *files]), taped([HONEST])[: -len(tape.END)] + b"".join(found) + tape.END)

    return make


def bomb(target: Path) -> Path:
    """A megabyte that says it has a hundred bytes, and unpacks to two gigabytes."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    packed = compressor.compress(tape.header("files/bomb", 100, 0o600, MADE_AT))
    packed += b"".join(compressor.compress(bytes(1 << 24)) for _ in range(128)) + compressor.flush()
    assert len(packed) < 2_000_000
    return _with(target, listed([("files/bomb", bytes(100))]), packed)


def large_lie(target: Path) -> Path:
    """A kilobyte that says it has a petabyte."""
    return forge(target, (File("files/lie", 1 << 50, 0o600, "0" * 64),), taped([HONEST]))


def many_frames(target: Path) -> Path:
    """Frames upon frames of nothing behind what is listed."""
    packed = zstandard.compress(taped([HONEST])) + zstandard.compress(bytes(1 << 20)) * 1_000
    return _with(target, listed([HONEST]), packed)


def wide_window(target: Path) -> Path:
    """Asks for two gigabytes of memory before the first byte."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=31, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return _with(target, listed([HONEST]), compressor.compress(taped([HONEST])) + compressor.flush())


def no_zstd(target: Path) -> Path:
    return _with(target, listed([HONEST]), b"\x28\xb5\x2f\xfd" + b"\xff" * 1_000)


def bare_tar(target: Path) -> Path:
    return _with(target, listed([HONEST]), taped([HONEST]))


def endless_skips(target: Path) -> Path:
    """Nothing but frames that are passed over."""
    packed = zstandard.compress(taped([HONEST])[:100]) + frame_of(b"") * 50_000
    return _with(target, listed([HONEST]), packed)


def _with(target: Path, files: tuple[File, ...], packed: bytes) -> Path:
    target.write_bytes(packed + frame_of(written(manifest_of(files, packed), None)))
    return target


A = "files/a"
DATA = b"aaaa"
PADDED = DATA.ljust(512, b"\0")
EXPECTED = tape.header(A, len(DATA), 0o600, MADE_AT)

HOSTILE: dict[str, Callable[[Path], Path]] = {
    "up": named("../escaped"),
    "up from within": named("files/../../escaped"),
    "up at the end": named("files/.."),
    "here": named("./files/x"),
    "absolute": named("/tmp/escaped"),
    "two slashes": named("//tmp/escaped"),
    "empty part": named("files//x"),
    "a drive": named("C:/escaped"),
    "a drive's own folder": named("c:escaped"),
    "backslashes": named("..\\escaped"),
    "a share": named("\\\\host\\share"),
    "a second stream": named("files/x:hidden"),
    "a NUL": named("files/x\0.txt"),
    "a line": named("files/x\n.txt"),
    "a colour": named("files/\x1b[31mx"),
    "a device of Windows": named("files/NUL.txt"),
    "a dot at the end": named("files/x."),
    "a space at the end": named("files/x "),
    "a direction": named("files/\u202etxt.exe"),
    "upper and lower case": named("files/Same", "files/same"),
    "one letter, two codes": named("files/\u00e9", "files/e\u0301"),
    "twice": named("files/x", "files/x"),
    "a file and a folder": named("files/x", "files/x/y"),
    "a folder and a file": named("files/x/y", "files/x"),
    "deep": named("/".join("d" * 100)),
    "long": named("files/" + "n" * 3_000),
    "ten thousand of one name": lambda target: forge(target, listed([HONEST]) * 10_000, taped([HONEST] * 10_000)),
    "more than may be": lambda target: forge(
        target, tuple(File(f"f{n}", 0, 0o600, "0" * 64) for n in range(MOST_FILES + 1)), b""
    ),
    "ten thousand that are not listed": members(*(member(f"files/x{n}") for n in range(10_000))),
    "a symbolic link": members(member(A, tarfile.SYMTYPE, link="/etc/passwd")),
    "a symbolic link and a file through it": members(
        member("files/link", tarfile.SYMTYPE, link="/tmp"), member("files/link/escaped", data=DATA)
    ),
    "a hard link": members(member(A, tarfile.LNKTYPE, link="/etc/passwd")),
    "a device": members(member(A, tarfile.CHRTYPE)),
    "a disk": members(member(A, tarfile.BLKTYPE)),
    "a pipe": members(member(A, tarfile.FIFOTYPE)),
    "a folder": members(member(A, tarfile.DIRTYPE)),
    "a sparse file": members(member(A, tarfile.GNUTYPE_SPARSE)),
    "an extended header": members(member("x", tarfile.XHDTYPE, b"30 path=../../../tmp/escaped\n"), EXPECTED, PADDED),
    "a long name": members(member("long", tarfile.GNUTYPE_LONGNAME, b"../escaped\0"), EXPECTED, PADDED),
    "a size that lies": members(member(A, data=DATA, size=1 << 33)),
    "a size below nothing": members(EXPECTED[:124] + b"\xff" * 12 + EXPECTED[136:], PADDED),
    "rights that were not listed": members(EXPECTED[:100] + b"0004777\0" + EXPECTED[108:], PADDED),
    "a second copy": members(EXPECTED, PADDED, EXPECTED, b"bbbb".ljust(512, b"\0")),
    "something after the end": lambda target: forge(target, listed([HONEST]), taped([HONEST]) + member("../x")),
    "something in the padding": members(EXPECTED, DATA.ljust(512, b"!")),
    "a bomb": bomb,
    "a large lie": large_lie,
    "many frames": many_frames,
    "a wide window": wide_window,
    "frames that are passed over": endless_skips,
    "no zstd": no_zstd,
    "a tar that was not compressed": bare_tar,
}  # fmt: skip


@pytest.mark.promise("P08")
@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_of_a_hostile_archive_is_left_anywhere(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    around = tmp_path / "around"
    staging = around / "staging"
    staging.mkdir(parents=True)
    path = make(tmp_path / "hostile")
    written_before = _listing(tmp_path), set(os.listdir("/tmp")) & {"escaped"}
    with pytest.raises(BackupError):
        extract(path, staging / "out", keyring(), limits=Limits(most_bytes=1 << 30))
    assert (_listing(tmp_path), set(os.listdir("/tmp")) & {"escaped"}) == written_before
    report = verify(path, keyring(), scratch=staging)
    assert not report.intact
    assert _listing(tmp_path) == written_before[0]


def _listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_there_are_forty_of_them() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.promise("P08")
def test_no_more_is_written_than_the_manifest_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    write = archive._write_all

    def watched(file: io.RawIOBase, piece: memoryview) -> None:
        nonlocal most
        most += len(piece)
        write(file, piece)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "_write_all", watched)
    with pytest.raises(Damaged):
        extract(bomb(tmp_path / "bomb"), tmp_path / "out", keyring())
    assert most <= 100


MEASURED = """
import resource, sys
from pathlib import Path
from socbot.systems.backup.archive import verify
from socbot.systems.backup.keys import Keyring
import socbot.storage.staged, zstandard
keys = Keyring(None, (), bytes)
verify(Path(sys.argv[1]), keys)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert not verify(Path(sys.argv[2]), keys).intact
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.promise("P08")
@pytest.mark.parametrize("make", [bomb, many_frames, wide_window, endless_skips])
def test_what_is_hostile_takes_no_memory(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    pack(tmp_path / "honest")
    program = [sys.executable, "-c", MEASURED, str(tmp_path / "honest"), str(make(tmp_path / "hostile"))]
    ran = subprocess.run(program, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 20_000  # kilobytes


@pytest.mark.promise("P08")
def test_a_disk_that_would_be_full_is_left_alone(tmp_path: Path) -> None:
    pack(tmp_path / "backup")
    with pytest.raises(NoRoom):
        extract(tmp_path / "backup", tmp_path / "out", keyring(), limits=Limits(spare=1 << 60))
    with pytest.raises(BackupError, match="at most 10"):
        extract(tmp_path / "backup", tmp_path / "out", keyring(), limits=Limits(most_bytes=10))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    pack(tmp_path / "backup")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_bytes(b"mine")
    with pytest.raises(BackupError):
        extract(tmp_path / "backup", tmp_path / "out", keyring())
    assert contents(tmp_path / "out") == {"mine": b"mine"}


def test_a_header_that_asks_for_all_of_the_memory_is_refused(tmp_path: Path) -> None:
    keys = keyring("correct horse")
    pack(tmp_path / "backup", keys=keys, seal=True)
    sealed = bytearray((tmp_path / "backup").read_bytes())
    sealed[12] = 40  # 2**40
    (tmp_path / "backup").write_bytes(sealed)
    with pytest.raises(Damaged, match="make a key"):
        extract(tmp_path / "backup", tmp_path / "out", keys)


def test_the_extra_member_is_what_is_refused(tmp_path: Path) -> None:
    """The forger's tools make backups that are taken, so that each one above is refused for its own fault."""
    path = forge(tmp_path / "backup", listed([HONEST, (A, DATA)]), taped([HONEST, (A, DATA)]))
    extract(path, tmp_path / "out", keyring())
    assert contents(tmp_path / "out") == dict([HONEST, (A, DATA)])
    assert structs.asdict(listed([HONEST])[0])["name"] == HONEST[0]
