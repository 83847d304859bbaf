"""Styles, scripts and icons: our own, served from memory under names that change with them."""

import hashlib
from importlib.resources import files
from typing import Final

from aiohttp import web

from socbot.charts import STYLE

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_YEAR: Final = "public, max-age=31536000, immutable"


def _contents() -> dict[str, bytes]:
    folder = files("socbot.web") / "static"
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES}
    found["style.css"] += STYLE.encode()
    return found


_CONTENTS: Final = _contents()
_HASH: Final = hashlib.sha256(b"".join(_CONTENTS[name] for name in sorted(_CONTENTS))).hexdigest()[:12]


def address(name: str) -> str:
    """Under which path ``name`` is served."""
    return f"/static/{_HASH}/{name}"


def add_to(app: web.Application) -> None:
    """Serve them."""
    for name, content in _CONTENTS.items():
        app.router.add_get(address(name), _serving(content, _TYPES[name.rpartition(".")[2]]))


def _serving(content: bytes, type: str):  # type: ignore[no-untyped-def]
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=type, charset="utf-8", headers={"Cache-Control": _YEAR})

    return serve
