"""``python -m bench [PART …] [--quick]``: all parts, unless some are named."""

import argparse

import anyio

PARTS = (
    "speed", "profile", "growth", "start", "stalls", "discord", "logging", "egress", "deliveries", "backups", "probes",
    "year",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What socbot costs, as ratios within one run.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; everything unless named")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it works")
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        print(f"## {part}\n\n{_MEASURED[part](3 if arguments.quick else 11)}\n", flush=True)


def _speed(rounds: int) -> str:
    from bench.speed import SLICE, compare, report

    return report(anyio.run(compare, 4 * rounds if rounds > 3 else rounds, SLICE))


def _profile(rounds: int) -> str:
    from bench.profile import measure, report

    return report(anyio.run(measure, 8 * rounds, 500))


def _growth(rounds: int) -> str:
    from bench.growth import compare, limiter_mebibytes

    lines = [
        f"{what}: {ratio:.2f} times the cost of a command" for what, ratio in anyio.run(compare, rounds, 2_000).items()
    ]
    return "\n".join([*lines, f"the limiter with 1,000,000 users: {limiter_mebibytes():.1f} MiB"])


def _start(rounds: int) -> str:
    from bench.starting import compare

    found = compare(rounds)
    return "\n".join(
        f"{what}: {seconds * 1e3:.0f} ms, {ratio:.1f} times a bare interpreter"
        for what, (seconds, ratio) in found.items()
    )


def _stalls(rounds: int) -> str:
    from bench.stalls import measure

    found = anyio.run(measure, 5_000, float(rounds))
    return f"{found.commands:,} commands: P99.9 {found.p999 * 1e3:.2f} ms, worst {found.worst * 1e3:.2f} ms"


def _discord(rounds: int) -> str:
    from bench.discord_transport import compare, report

    return report(anyio.run(compare, 2 * rounds, 512))


def _logging(rounds: int) -> str:
    from bench.logging import compare, report

    return report(compare(100_000 if rounds > 3 else 10_000))


def _egress(rounds: int) -> str:
    from bench.egress import compare, report

    return report(anyio.run(compare, rounds, 1_000))


def _deliveries(rounds: int) -> str:
    from bench.deliveries import measure, report

    return report(anyio.run(measure, (rounds + 1) // 2))


def _backups(rounds: int) -> str:
    from bench.backups import measure, report

    return report(anyio.run(measure, 1_000_000_000 if rounds > 3 else 100_000_000, min(rounds, 5)))


def _probes(rounds: int) -> str:
    from bench.probes import measure, report

    return report(anyio.run(measure, rounds))


def _year(rounds: int) -> str:
    from bench.year import measure, report

    return report(anyio.run(measure, *((20, 365) if rounds > 3 else (3, 40))))


_MEASURED = {
    "speed": _speed,
    "profile": _profile,
    "growth": _growth,
    "start": _start,
    "stalls": _stalls,
    "discord": _discord,
    "logging": _logging,
    "egress": _egress,
    "deliveries": _deliveries,
    "backups": _backups,
    "probes": _probes,
    "year": _year,
}

main()
