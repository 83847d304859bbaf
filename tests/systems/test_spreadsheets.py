"""A spreadsheet program opens what the bot exports, and runs nothing of it."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from socbot.systems.exports import to_csv

OPTIONS = ",34,76,1,,0,false,false,true,false,false,0,true"
"""LibreOffice's options for CSV after the separator: a quote, UTF-8, from line 1, and formulas are evaluated."""

HOSTILE = (
    "=1+1", "+1+1", "-1+1", "@SUM(1,1)", "\t=1+1", "\r=1+1", "  =1+1", "x;=1+1", "x\n=1+1", 'x","=1+1', "'=1+1",
    "\0=1+1", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://evil.example\",\"a\")", "=WEBSERVICE(\"http://evil.example\")",
    "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "\u22121+1", "=DDE(\"soffice\";\"x\";\"y\")", "{=1+1}", "plain text",
)  # fmt: skip

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def opened(folder: Path, content: bytes, separator: str = ",") -> list[tuple[str, str]]:
    """The kind and the formula of each cell that is not empty, as LibreOffice opens a CSV file."""
    assert shutil.which("soffice"), "install libreoffice-calc-nogui, or run tests/servers.sh slow"
    (folder / "export.csv").write_bytes(content)
    subprocess.run(
        [
            "soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless",
            f"--infilter=Text - txt - csv (StarCalc):{ord(separator)}{OPTIONS}", "--convert-to", "fods",
            "--outdir", str(folder), str(folder / "export.csv"),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    cells = ElementTree.parse(folder / "export.fods").iter(f"{_TABLE}table-cell")
    found = [(each.get(f"{_OFFICE}value-type", ""), each.get(f"{_TABLE}formula", "")) for each in cells]
    return [each for each in found if each != ("", "")]


@pytest.mark.slow
@pytest.mark.parametrize("separator", [",", ";"])
def test_the_program_would_run_a_formula_that_nobody_made_safe(tmp_path: Path, separator: str) -> None:
    content = f'"row"{separator}"=1+1"\r\n'.encode()
    assert opened(tmp_path, content, separator) == [("string", ""), ("float", "of:=1+1")]


@pytest.mark.slow
@pytest.mark.promise("P22")
def test_a_spreadsheet_shows_text_in_every_cell_of_an_export(tmp_path: Path) -> None:
    cells = opened(tmp_path, to_csv(["row", "text"], [["row", text] for text in HOSTILE]))
    assert cells == [("string", "")] * 2 * (len(HOSTILE) + 1)


@pytest.mark.slow
@pytest.mark.promise("P22")
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_nor_does_it_run_anything_where_it_splits_elsewhere(tmp_path: Path, separator: str) -> None:
    cells = opened(tmp_path, to_csv(["row", "text"], [["row", text] for text in HOSTILE]), separator)
    assert len(cells) >= len(HOSTILE)
    assert [formula for _, formula in cells if formula] == []
