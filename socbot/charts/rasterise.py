"""A program of its own: SVG from the standard input becomes PNG on the standard output, and the memory is freed."""

import sys
from pathlib import Path

SCALE = 2
_FONT = Path(__file__).with_name("roboto.ttf")


def rasterise(svg: str) -> bytes:
    import resvg_py

    # The system's fonts are read only for letters that ours does not have; that can take a while where there are many.
    covered = all(letter < "\u0530" or "\u2010" <= letter <= "\u22ff" or letter == "\ufffd" for letter in svg)
    return bytes(resvg_py.svg_to_bytes(svg, zoom=SCALE, font_files=[str(_FONT)], skip_system_fonts=covered))


if __name__ == "__main__":
    sys.stdout.buffer.write(rasterise(sys.stdin.buffer.read().decode()))
