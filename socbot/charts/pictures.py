"""A chart as PNG, drawn in a process that ends with it: the library keeps the interpreter to itself while it draws."""

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import anyio
from anyio.lowlevel import RunVar

from socbot.charts.definition import definition
from socbot.charts.svg import DARK, LIGHT, picture_svg
from socbot.dispatch.replies import Chart, printable

log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("rasterise.py")
_AT_ONCE = 2
_PASSED_ON = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")  # no secret of the bot's is any business of the program's
_slots: RunVar[anyio.CapacityLimiter] = RunVar("slots")


async def picture(chart: Chart, *, dark: bool = True, title: str = "", deadline: float = 10.0) -> bytes | None:
    """``chart`` as a PNG, 960 pixels wide; ``None`` if it cannot be drawn here, or not within ``deadline`` seconds."""
    if find_spec("resvg_py") is None:
        return None
    svg = await anyio.to_thread.run_sync(_svg, chart, dark, title)
    with anyio.move_on_after(deadline):
        async with _limiter():
            return await _drawn(svg)
    log.warning("A chart was not drawn within %g s", deadline)
    return None


def _svg(chart: Chart, dark: bool, title: str) -> bytes:
    return picture_svg(definition(chart, title), DARK if dark else LIGHT).encode()


async def _drawn(svg: bytes) -> bytes | None:
    command = [sys.executable, "-P", str(_PROGRAM)]
    try:
        done = await anyio.run_process(command, input=svg, check=False, env=_environment())
    except* (OSError, NotImplementedError, anyio.BrokenResourceError) as errors:
        # There are no processes left, the event loop cannot start any, or this one ended before it had read it all.
        log.warning("A chart was not drawn: %r", errors.exceptions[0])
    else:
        if done.returncode == 0:
            return done.stdout
        log.warning("A chart was not drawn: %s", printable(done.stderr.decode("utf-8", "replace")[-300:], keep=""))
    return None


def _environment() -> dict[str, str]:
    kept = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)}


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _slots.get()
    except LookupError:
        _slots.set(limiter := anyio.CapacityLimiter(_AT_ONCE))
        return limiter
