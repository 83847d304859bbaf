"""A chart as PNG, drawn in a process that ends with it: the library keeps the interpreter to itself while it draws."""

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired, run

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
    """``chart`` as a PNG, 960 pixels wide; ``None`` if it cannot be drawn here.

    :param deadline: seconds to wait for a turn, and to draw it
    """
    if find_spec("resvg_py") is None:
        return None
    draw = partial(_drawn, chart, DARK if dark else LIGHT, title, deadline)
    with anyio.move_on_after(deadline):
        return await anyio.to_thread.run_sync(draw, limiter=_limiter())
    return None


def _drawn(chart: Chart, palette: Mapping[str, str], title: str, deadline: float) -> bytes | None:
    svg = picture_svg(definition(chart, title), palette)
    command = [sys.executable, "-P", str(_PROGRAM)]
    try:
        return run(
            command, input=svg.encode(), capture_output=True, check=True, timeout=deadline, env=_environment()
        ).stdout
    except CalledProcessError as error:
        reason = error.stderr.decode("utf-8", "replace")[-300:]
    except (OSError, TimeoutExpired) as error:
        reason = str(error)
    log.warning("A chart was not drawn: %s", printable(reason, keep=""))
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
