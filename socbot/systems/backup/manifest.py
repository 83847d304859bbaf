"""What a backup says of itself: every file with its size and hash, and how much of that can be believed."""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from socbot.documents import UNDECODABLE
from socbot.systems.backup.errors import BackupError, Damaged, TooNewBackup
from socbot.systems.backup.keys import Signer

FORMAT: Final = 1
MOST_BYTES: Final = 12 * 1024 * 1024
"""A manifest that is longer is not read."""

MOST_FILES: Final = 100_000
DEEPEST: Final = 24
LONGEST_NAME: Final = 2_000

TRAILER: Final = 80
"""Bytes: SHA-256, HMAC (zeros where none was made), length of the manifest, zeros, the mark."""

_MARK: Final = b"socbot\x00\x01"
_UNSIGNED: Final = bytes(32)

Type: TypeAlias = Literal["hourly", "daily", "weekly", "manual", "pre_restore", "pre_upgrade"]
Digest: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 50)]


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """One file; ``name`` is "/"-separated, ``mode`` its permissions."""

    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    size: Size
    mode: Annotated[int, Meta(ge=0, le=0o777)]
    sha256: Digest


class Info(Struct, frozen=True):
    """What the maker of a backup knows beforehand. ``made_at`` is in seconds since 1970.

    :param bot: the version that made it
    :param head: the newest hash of the audit's chain, so that a chain that was cut is noticed
    """

    type: Type
    made_at: float
    bot: str
    head: str = ""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What was packed, in the order in which it was.

    :param form: how the store is in it: as SQLite's own pages or as the rows of its tables
    :param packed: bytes before the manifest, compressed but not encrypted, and their SHA-256 in ``packed_sha256``
    :param signed_by: which key made the HMAC; None without one
    """

    format: int
    type: Type
    made_at: Annotated[float, Meta(ge=0, le=1e11)]
    bot: Annotated[str, Meta(max_length=64)]
    dialect: Literal["sqlite", "postgresql"]
    form: Literal["pages", "rows"]
    revision: Annotated[str, Meta(max_length=64)]
    files: Annotated[tuple[File, ...], Meta(min_length=1, max_length=MOST_FILES)]
    packed: Size
    packed_sha256: Digest
    signed_by: Signer | None = None
    head: Annotated[str, Meta(max_length=128)] = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the manifest itself, as it is written."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def written(manifest: Manifest, key: bytes | None) -> bytes:
    """The manifest with its trailer, as it stands at the end of a backup.

    :param key: signs it
    :raises BackupError: if it is longer than what is read
    """
    body = msgspec.json.encode(manifest)
    if len(body) > MOST_BYTES:
        raise BackupError(
            f"A backup of {len(manifest.files):,} files would not be read: the list of them has more than "
            f"{MOST_BYTES // 2**20} MiB. Take something out of `backup.paths`."
        )
    signature = hmac.digest(key, body, "sha256") if key else _UNSIGNED
    digest = hashlib.sha256(body + signature).digest()
    return b"".join((body, digest, signature, len(body).to_bytes(4, "little"), bytes(4), _MARK))


def length_before(trailer: bytes | bytearray) -> int:
    """How long the manifest is that ends with ``trailer``.

    :raises Damaged: if that is the end of no backup
    """
    length = int.from_bytes(trailer[64:68], "little")
    if len(trailer) != TRAILER or trailer[72:] != _MARK or any(trailer[68:72]) or not 2 <= length <= MOST_BYTES:
        raise Damaged("", "it does not end as a backup does: it was cut off, or it is none")
    return length


def read(body: bytes | bytearray, trailer: bytes | bytearray) -> Manifest:
    """What is written there; whether it is signed is another question.

    :raises Damaged: if it is not what its own hash says, or lists what no backup has
    :raises TooNewBackup: if a newer socbot wrote it
    """
    digest = hashlib.sha256(body)
    digest.update(trailer[32:64])
    if not hmac.compare_digest(digest.digest(), trailer[:32]):
        raise Damaged("", "the manifest is not what its own SHA-256 says")
    try:
        _check_format(body)
        _check_files(body)
        manifest = msgspec.json.decode(body, type=Manifest)
    except UNDECODABLE as error:
        raise Damaged("", f"the manifest cannot be read: {error}") from None
    if (manifest.signed_by is not None) != (trailer[32:64] != _UNSIGNED):
        raise Damaged("", "the manifest's signature was taken away")
    check_names(file.name for file in manifest.files)
    return manifest


def is_signed_with(body: bytes | bytearray, trailer: bytes | bytearray, key: bytes) -> bool:
    return hmac.compare_digest(hmac.digest(key, body, "sha256"), trailer[32:64])


class _Format(Struct):
    format: int


def _check_format(body: bytes | bytearray) -> None:
    found = msgspec.json.decode(body, type=_Format).format
    if found > FORMAT:
        raise TooNewBackup(found)
    if found != FORMAT:
        raise Damaged("", f"the manifest's format {found} is none")


class _Any(Struct, gc=False):
    """Some map."""


class _Counted(Struct):
    files: list[_Any]


class _Listed(Struct):
    files: list[msgspec.Raw]


_check_file = msgspec.json.Decoder(File).decode


def _check_files(body: bytes | bytearray) -> None:
    """Look at each file alone, so that a manifest that is refused takes little more memory than its own bytes."""
    # Braces bound how many maps there are; names may have some, too.
    if body.count(b"{") > 2 * MOST_FILES or len(msgspec.json.decode(body, type=_Counted).files) > MOST_FILES:
        raise Damaged("", f"the manifest lists more than {MOST_FILES:,} files")
    for file in msgspec.json.decode(body, type=_Listed).files:
        _check_file(file)


# -- names --------------------------------------------------------------------------------------------

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def check_names(names: Iterable[str]) -> None:
    """Refuse names that could lead out of a folder, mean something to a system, or fall on one another.

    :raises Damaged: naming the first
    """
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        if problem := _problem(name):
            raise Damaged(name, f"its name {problem}")
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in files:
            raise Damaged(name, "it is listed twice, or differs from another in upper and lower case alone")
        files.add(folded)
        parts = folded.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    for name in files & folders:
        raise Damaged(name, "it is listed both as a file and as a folder")


def _problem(name: str) -> str:
    parts = name.split("/")
    if len(name) > LONGEST_NAME or len(parts) > DEEPEST:
        return f"is longer than {LONGEST_NAME} characters or deeper than {DEEPEST} folders"
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of its folder"
    if _UNSAFE.search(name) or not name.isascii():
        return "has characters that no name in a backup has"
    if any(part[-1] in ". " or part[0] == " " or _DEVICES.fullmatch(part) or len(part) > 255 for part in parts):
        return "means something else on some systems"
    return ""
