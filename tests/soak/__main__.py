"""``python -m tests.soak``: a bot under load and troubles, and a report; exit code 1 if a limit broke."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

import anyio

from tests.soak.soak import Plan, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Does a bot rot while it runs?")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--rate", type=float, default=200.0, help="commands a second (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of everything (1)")
    parser.add_argument("--beat", type=float, default=60.0, help="seconds between two rounds of troubles (60)")
    parser.add_argument("--report", type=Path, help="a file for the report, too")
    parser.add_argument("--keep", type=Path, help="a folder for the bot's files, to look at them afterwards")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no bot is left behind
    plan = Plan(given.minutes, given.rate, given.seed, given.beat)
    with tempfile.TemporaryDirectory(prefix="socbot-soak-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = anyio.run(soak, plan, folder, lambda line: print(line, file=sys.stderr, flush=True))
    text = found.text()
    print(text)
    if given.report is not None:
        given.report.write_text(text + "\n", encoding="utf-8")
    return 0 if found.held else 1


sys.exit(main())
