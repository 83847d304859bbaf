"""Text that would run in a page, if the page took it for more than text."""

from collections.abc import Iterator
from typing import Final

HIT: Final = "window.hit=1"

_CORES: Final = (
    f"<script>{HIT}</script>",
    f"<img src=x onerror={HIT} hostile>",
    f"<svg onload={HIT} hostile>",
    f"<svg/onload={HIT}><hostile>",
    f"<iframe srcdoc='<script>parent.{HIT}</script>' hostile></iframe>",
    f"<iframe src=javascript:{HIT} hostile>",
    f"<a href=javascript:{HIT} hostile>click</a>",
    f"<body onload={HIT} hostile>",
    f"<details open ontoggle={HIT} hostile>",
    f"<input autofocus onfocus={HIT} hostile>",
    f"<video><source onerror={HIT} hostile></video>",
    f"<math><mtext></form><form><mglyph><style></math><img src=x onerror={HIT} hostile>",
    f"<object data=javascript:{HIT} hostile>",
    "<meta http-equiv=refresh content='0;url=//elsewhere.invalid/' hostile>",
    "<base href=//elsewhere.invalid/ hostile>",
    "<link rel=stylesheet href=//elsewhere.invalid/x.css hostile>",
    "<form action=//elsewhere.invalid/ hostile><button>Sign in</button></form>",
    "<style>*{background:url(//elsewhere.invalid/)}</style><hostile>",
    f"<template shadowrootmode=open><script>{HIT}</script></template><hostile>",
    f"<noscript><p title='</noscript><img src=x onerror={HIT} hostile>'>",
)

_WRAPPINGS: Final = (
    "{}",
    '">{}',
    "'>{}",
    "</script>{}",
    "</title></textarea></style>{}",
    "-->{}<!--",
    "]]>{}",
    '" onmouseover="window.hit=1" hostile="{}',
    "{{{{7*7}}}}{}${{7*7}}",
    "javascript:/*--></title></style></textarea></script></xmp>{}",
)


def strings() -> Iterator[str]:
    """Two hundred of them, each with a number of its own at its end."""
    number = 0
    for wrapping in _WRAPPINGS:
        for core in _CORES:
            number += 1
            yield f"{wrapping.format(core)}#{number:03d}"


CAME_IN: Final = """
[...document.querySelectorAll(
  "[hostile], hostile, iframe, object, embed, base, meta[http-equiv], [onerror], [onload], [onmouseover], [ontoggle]," +
  "[onfocus], [style], style, template, video, math, a[href^='javascript:' i], [action^='//'], [src^='javascript:' i]"
)].map(element => element.outerHTML.slice(0, 200))
"""
"""What is in the document although none of our templates has it."""
