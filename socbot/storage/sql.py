"""Pieces of statements that need the same care wherever they stand."""

from collections.abc import Iterator, Sequence


def like(text: str) -> str:
    """``text`` within a pattern for ``LOWER(…) LIKE … ESCAPE '!'``, in which nothing of it stands for anything else."""
    return text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")


def listed(values: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What stands between the brackets of ``IN (…)`` for ``values``, and what those names stand for."""
    named = {f"v{number}": value for number, value in enumerate(values)}
    return ", ".join(f":{name}" for name in named), named


def batches(values: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """``values`` in pieces of at most ``most``: a statement takes only so many."""
    for start in range(0, len(values), most):
        yield values[start : start + most]
