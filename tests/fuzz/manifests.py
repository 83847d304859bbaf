"""Manifests of backups: what is taken is what a backup would say, and leads nowhere else."""

import hashlib
from pathlib import PurePosixPath

from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.manifest import TRAILER, length_before, read, written

FILE = '{"name":"files/a","size":0,"mode":384,"sha256":"' + "0" * 64 + '"}'
WHOLE = (
    '{"format":1,"type":"manual","made_at":1.0,"bot":"0.1.0","dialect":"sqlite","form":"pages","revision":"0005",'
    f'"files":[{FILE}],"packed":9,"packed_sha256":"{"a" * 64}","signed_by":null,"head":""}}'
)
PIECES = (
    WHOLE, WHOLE[:-1], FILE, "{", "}", "[", "]", ",", ":", '"', "\\u002e", "\\", " ", "\n", "null", "-1", "0", "1",
    "1e9", "1.0", "9223372036854775808", '"format":1', '"format":2', '"files":[', '"name":"', '"head":""', '"mode":511',
    '"signed_by":{"key_id":"' + "0" * 16 + '"}', "../", "/", "a", "A", "con", "files/", "\u0130", "\udc80", "[" * 300,
)  # fmt: skip
FRAMES = (
    WHOLE.replace('"0.1.0"', "…"), WHOLE.replace("files/a", "…"), WHOLE.replace("files/a", "……/…"),
    WHOLE.replace(FILE, f"{FILE},…"), WHOLE.replace("384", "…"), WHOLE.replace("{", "{…,", 1),
)  # fmt: skip


def fuzz(data: bytes) -> None:
    """The data as it stands at a backup's end; and as a manifest with the hash that belongs to it."""
    check(data[:-TRAILER], data[-TRAILER:])
    check(data, hashlib.sha256(data + bytes(32)).digest() + bytes(32) + len(data).to_bytes(4, "little") + bytes(12))


def check(body: bytes, trailer: bytes) -> None:
    try:
        manifest = read(body, trailer)
    except BackupError as refusal:
        check_told(str(refusal))
        return
    again = written(manifest, None)
    assert length_before(again[-TRAILER:]) == len(again) - TRAILER
    assert manifest.sha256 == hashlib.sha256(again[:-TRAILER]).hexdigest()
    if manifest.signed_by is None:
        assert read(again[:-TRAILER], again[-TRAILER:]) == manifest
    check_names([file.name for file in manifest.files])


def check_told(text: str) -> None:
    assert len(text) < 3_000


def check_names(names: list[str]) -> None:
    assert names
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert str(path) == name
        assert name.isascii()
        assert name.isprintable()
