"""Fuzz one target, guided by coverage: ``python -m tests.fuzz TARGET SECONDS FOLDER``.

``FOLDER`` takes what is found on the way; an input that fails stays there as ``crash-…`` and the process ends with 77.
To run such an input again, put it into ``tests/fuzz/corpus/TARGET`` and run the tests of this folder.
"""

import sys
from importlib import import_module
from pathlib import Path

import atheris


def main(target: str, seconds: str, folder: str) -> None:
    with atheris.instrument_imports(include=["socbot"]):
        module = import_module(f"tests.fuzz.{target}")
    words = Path(folder, "dictionary")
    words.write_text("".join(f'"{escaped(piece)}"\n' for piece in module.PIECES))
    found = Path(folder, "found")
    found.mkdir()
    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=6000", f"-dict={words}"]
    seeds = Path(__file__).with_name("corpus") / target
    atheris.Setup(["fuzz", *options, f"-artifact_prefix={folder}/", str(found), str(seeds)], module.fuzz)
    atheris.Fuzz()


def escaped(piece: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in piece.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main(*sys.argv[1:])
