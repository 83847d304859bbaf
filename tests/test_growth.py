"""What a hostile document costs in memory, each read by a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MOST = 20 * 1024  # KiB

READ_EACH = """
import json, os, sys
from pathlib import Path
from socbot.config import load
from socbot.documents import ConfigError
from socbot.importing.documents import UnreadableDocument, read_document
from socbot.systems.sketch import Sketch

folder = Path(sys.argv[1])
good = folder / "good.yaml"
good.write_text("bot: {name: x}")
load(good, {})  # what the first reading imports is no growth

readers = {"yaml": load, "json": read_document, "msgpack": lambda path: Sketch.from_bytes(path.read_bytes())}

def status(name):
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1])

def told(path):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    try:
        readers[path.suffix[1:]](path)
    except (ConfigError, UnreadableDocument, ValueError) as error:
        kind = type(error).__name__
    else:
        kind = "read"
    return [kind, status("VmHWM") - before]

for path in sorted(folder.iterdir()):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(told(path)).encode())
        os._exit(0)
    os.close(writing)
    print(json.dumps([path.name, *json.loads(os.fdopen(reading, "rb").read())]))
    os.wait()
"""

DOCUMENTS: dict[str, bytes] = {
    "deep lists.yaml": b"a: " + b"[" * 100_000,
    "deep maps.yaml": b"a: " + b"{a: " * 100_000,
    "deep blocks.yaml": b"- " * 100_000,
    "aliases.yaml": b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 118)),
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
}


ERRORS = {"yaml": "ConfigError", "json": "UnreadableDocument", "msgpack": "ValueError"}


@pytest.mark.promise("P30")
def test_no_hostile_document_takes_more_than_20_mib(tmp_path: Path) -> None:
    for name, content in DOCUMENTS.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-c", READ_EACH, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = {name: (kind, growth) for name, kind, growth in map(json.loads, ran.stdout.splitlines())}
    assert found.pop("good.yaml")[0] == "read"
    assert set(found) == set(DOCUMENTS)
    for name, (kind, growth) in found.items():
        assert kind == ERRORS[name.rpartition(".")[2]], name
        assert growth <= MOST, (name, growth)
