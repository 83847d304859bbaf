"""No input breaks a reader: each gives a value or its own error, and what it gives holds what it promises.

The same functions are driven by Hypothesis, which knows the grammar, and by atheris, which sees what code was reached
(``make fuzz``, ten minutes for each; ``FUZZ_SECONDS`` sets another length).
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import addresses, commands, configs, durations, manifests

HERE = Path(__file__).parent
TARGETS: dict[str, ModuleType] = {
    "addresses": addresses,
    "commands": commands,
    "configs": configs,
    "durations": durations,
    "manifests": manifests,
}
pytestmark = pytest.mark.promise("P29")


@pytest.mark.parametrize(
    ("target", "kept"),
    [(name, path.name) for name in TARGETS for path in sorted((HERE / "corpus" / name).iterdir())],
)
def test_what_was_kept_is_read(target: str, kept: str) -> None:
    TARGETS[target].fuzz((HERE / "corpus" / target / kept).read_bytes())


def made_of(pieces: Sequence[str], frames: Sequence[str]) -> st.SearchStrategy[bytes]:
    """What is almost right, pieces of the grammar in any order, and anything at all."""
    piece = st.sampled_from(pieces)
    several = st.lists(piece | st.text(max_size=4), max_size=25).map("".join)

    def filled(frame: str) -> st.SearchStrategy[str]:
        gaps = st.tuples(*(piece | several for _ in range(frame.count("…"))))
        return gaps.map(lambda texts: "".join(map("".join, zip(frame.split("…"), (*texts, ""), strict=True))))

    text = st.sampled_from(frames).flatmap(filled) | several
    return text.map(lambda text: text.encode("utf-8", "surrogateescape")) | st.binary(max_size=200)


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_no_input_breaks_a_reader(target: str, data: st.DataObject) -> None:
    module = TARGETS[target]
    module.fuzz(data.draw(made_of(module.PIECES, module.FRAMES)))


@pytest.mark.slow
def test_no_input_breaks_a_reader_that_is_guided_by_what_code_it_reaches(tmp_path: Path) -> None:
    def fuzzed(target: str) -> str:
        """What went wrong; nothing if nothing did."""
        folder = tmp_path / target
        folder.mkdir()
        command = [sys.executable, "-m", "tests.fuzz", target, os.environ.get("FUZZ_SECONDS", "20"), str(folder)]
        ran = subprocess.run(command, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told = ran.stdout.decode(errors="replace")
        print(target, told.strip().rpartition("\n")[2])
        return "" if ran.returncode == 0 and "Done " in told else f"{target}: {told[-4_000:]}"

    with ThreadPoolExecutor(2) as processes:
        problems = [problem for problem in processes.map(fuzzed, TARGETS) if problem]
    assert not problems, "\n\n".join(problems)
