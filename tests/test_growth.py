"""What a hostile document costs in memory, each read by a process of its own."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from socbot.systems.backup.manifest import MOST_BYTES
from socbot.systems.backup.sealed import Sealer
from tests.systems.backup.packed import KEY, forge_text, keyring, pack

MOST = 20 * 1024  # KiB

MIB = 1024 * 1024
ENTRY = b'{"platform":"local","kind":"user","id":"%d","reason":"","added_by":"","added_at":0}'
ROWS = b"platform,kind,id,reason,added_by,added_at,expires_at,source\n"


def documents() -> dict[str, bytes]:
    """Files, whose names end with how they are read."""
    entries = b",".join(ENTRY % n + b" " * 70 for n in range(49_990))
    return {
        "deep lists.yaml": b"a: " + b"[" * 100_000,
        "deep maps.yaml": b"a: " + b"{a: " * 100_000,
        "deep blocks.yaml": b"- " * 100_000,
        "aliases.yaml": b"a: &a [x,x]\n"
        + b"".join(b"%c: &%c [*%c,*%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 118)),
        "digits.yaml": b"rate_limit: {burst: " + b"9" * 5_000 + b"}",
        "bad UTF-8.yaml": b"bot: \xff\xfe\n",
        "twice.yaml": b"bot: {name: x}\nbot: {name: y}\n",
        "10 MB.yaml": b"x" * 10_000_000,
        "deep lists.json": b'{"a": ' + b"[" * 100_000,
        "deep maps.json": b'{"a":' * 100_000,
        "digits.json": b'{"a": ' + b"9" * 5_000 + b", ]",
        "bad UTF-8.json": b'{"users": \xff}',
        "values.json": b'{"a": [' + b"1," * 2_100_000 + b"1]}",
        "deep lists.msgpack": b"\x91" * 100_000,
        "long list.msgpack": b"\xdd\xff\xff\xff\xff",
        "long text.msgpack": b"\x91\xdb\xff\xff\xff\xffx",
        "deep lists.blacklist": b'{"users": ' + b"[" * 100_000,
        "deep maps.blacklist": b'{"x": ' + b'{"x":' * 100_000,
        "digits.blacklist": b'{"blacklist": [' + ENTRY % 1 + b"," + ENTRY[:-2] % 2 + b"9" * 5_000 + b"}]}",
        "bad UTF-8.blacklist": b'{"users": "\xff"}',
        "nothing but text.blacklist": b'{"users": "' + b"x" * (8 * MIB - 20) + b'"}',
        "too long.blacklist": b"{" + b" " * (8 * MIB),
        "many entries.blacklist": b'{"blacklist": [' + entries + b"]",
        "a bad entry after many.blacklist": b'{"blacklist": [' + entries + b',{"kind":"user"}]}',
        "many numbers.blacklist": b'{"blacklist": [' + b"1," * 4_000_000 + b"1]}",
        "many maps.blacklist": b'{"blacklist": [' + b"{}," * 90_000 + b"{}]}",
        "many older entries.blacklist": b'{"users": {' + b",".join(b'"%d":{}' % n for n in range(600_000)),
        "many rows.blacklist": ROWS + b"a,user,1,,,0,,\n" * 500_000,
        "a bad row after many.blacklist": ROWS + (b"a,user,%d,%s,,0,,\n" % (1, b"x" * 140)) * 49_900 + b"end",
        "many cells.blacklist": ROWS + b"," * 8_000_000,
        "many cells over many lines.blacklist": ROWS + b'"\n",' * 2_000_000,
        "a long cell.blacklist": ROWS + b'"' + b"\n" * 8_000_000,
        "a long header.blacklist": b"platform," * 900_000,
    }


GOOD = {
    "yaml": b"bot: {name: x}",
    "json": b'{"a": 1}',
    "msgpack": b"\x95\xcb\0\0\0\0\0\0\0\0\xcb\0\0\0\0\0\0\0\0\xcb\0\0\0\0\0\0\0\0\0\x90",
    "blacklist": b'{"blacklist": [' + ENTRY % 1 + b"]}",
    "report": b'{"title": "Door open"}',
    "alerts": b'{"alerts": [{"status": "firing"}]}',
    "action": b"{}",
}

FILE = b'{"name":"a","size":1,"mode":1,"sha256":"%s"},' % (b"0" * 64)


def manifests() -> dict[str, bytes]:
    """Manifests of backups."""
    return {
        "deep lists": b'{"format":1,"files":' + b"[" * 100_000,
        "deep maps": b'{"format":1,"x":' + b'{"x":' * 100_000,
        "digits": b'{"format":1,"packed":' + b"9" * 5_000 + b"}",
        "bad UTF-8": b'{"format":1,"type":"\xff"}',
        "nothing but text": b'"' + b"x" * (MOST_BYTES - 2) + b'"',
        "a bad file after many": b'{"format":1,"files":[' + FILE * 99_000 + b"{}]}",
        "many maps": b'{"format":1,"files":[' + b"{}," * 199_000 + b"{}]" + b" " * (MOST_BYTES - 600_000) + b"}",
        "many numbers": b'{"format":1,"files":[' + b"1," * 6_000_000 + b"1]}",
        "too long": b" " * (MOST_BYTES + 1),
    }


def bodies() -> dict[str, bytes]:
    """What is posted to the API, whose names end with where to."""
    labels = b",".join(b'"%x":"1"' % n for n in range(90_000))
    return {
        "deep lists.report": b'{"title": ' + b"[" * 16_000,
        "deep maps.report": b'{"fields": ' + b'{"x":' * 3_000,
        "digits.report": b'{"title": "x", "fields": {"n": ' + b"9" * 5_000 + b"}}",
        "bad UTF-8.report": b'{"title": "\xff"}',
        "10 MB.report": b'{"title": "' + b"x" * 10_000_000 + b'"}',
        "10 MB.chunked.report": b'{"title": "' + b"x" * 10_000_000 + b'"}',
        "bomb.gz.report": gzip.compress(b'{"title": "' + b"x" * 50_000_000 + b'"}'),
        "deep lists.alerts": b'{"alerts": ' + b"[" * 1_000_000,
        "deep maps.alerts": b'{"x": ' + b'{"x":' * 60_000,
        "deep lists that nobody asked for.alerts": b'{"x": ' + b"[" * 1_000_000,
        "many alerts.alerts": b'{"alerts": [' + b'{"status":"firing"},' * 52_000,
        "many labels.alerts": b'{"alerts": [{"status":"firing","labels":{' + labels,
        "many labels of one.alerts": b'{"alerts": [{"status":"firing","labels":{' + labels + b"}}]}",
        "bomb.gz.alerts": gzip.compress(b'{"alerts": [' + b" " * 50_000_000),
        "deep lists.action": b'{"x": ' + b"[" * 16_000,
        "many options.action": b"{" + b",".join(b'"%x":1' % n for n in range(1_700)) + b"}",
    }


REFUSALS = {
    "yaml": {"ConfigError"},
    "json": {"UnreadableDocument"},
    "msgpack": {"ValueError"},
    "blacklist": {"UnreadableFile"},
    "backup": {"Damaged"},
    "report": {"400", "413", "422"},
    "alerts": {"400", "413", "422"},
    "action": {"400", "413", "422"},
}


def write_backups(folder: Path) -> None:
    """Backups whose manifests are hostile, each plain and sealed; their hashes fit."""
    pack(folder / "good.backup", keys=keyring(KEY), seal=True)
    for name, body in manifests().items():
        plain = forge_text(folder / f"{name}.backup", zstandard.compress(b""), body)
        with (folder / f"{name}, sealed.backup").open("wb") as file:
            sealer = Sealer(file, keyring(KEY))
            sealer.write(plain.read_bytes())
            sealer.close()


@pytest.mark.promise("P30")
def test_no_hostile_document_takes_more_than_20_mib(tmp_path: Path) -> None:
    for name, content in (documents() | bodies()).items():
        (tmp_path / name).write_bytes(content)
    for kind, content in GOOD.items():
        (tmp_path / f"good.{kind}").write_bytes(content)
    write_backups(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    command = [sys.executable, "-m", "tests.reading_each", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = {name: (ended, growth) for name, ended, growth in map(json.loads, ran.stdout.splitlines())}
    assert set(found) == names
    for name, (ended, growth) in found.items():
        kind = name.rpartition(".")[2]
        assert ended in ({"read"} if name.startswith("good.") else REFUSALS[kind]), name
        assert growth <= MOST, (name, growth)
