"""What it takes to start: processes, taking turns, each as a ratio to a bare interpreter."""

import statistics
import subprocess
import sys
import tempfile
from time import perf_counter

BARE, IMPORT, EXEC = "python -c pass", "import socbot", "socbot exec '!ping'"

_ARGUMENTS = {BARE: ["-c", "pass"], IMPORT: ["-c", "import socbot"], EXEC: ["-m", "socbot", "exec", "!ping"]}


def compare(rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds by what was started, and the median ratio to the bare interpreter of the same round.

    :raises subprocess.CalledProcessError: if one of them failed
    """
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder:
        _seconds(EXEC, folder)  # makes the store
        times = [{what: _seconds(what, folder) for what in _ARGUMENTS} for _ in range(rounds)]
    return {
        what: (
            statistics.median(each[what] for each in times),
            statistics.median(each[what] / each[BARE] for each in times),
        )
        for what in _ARGUMENTS
    }


def _seconds(what: str, folder: str) -> float:
    began = perf_counter()
    subprocess.run([sys.executable, *_ARGUMENTS[what]], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began
