"""No secret ever leaves: a failure that is full of them, then the tour, then a look at everything that came out."""

import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from socbot.announcement import path_of
from socbot.config import BackupConfig, Config, StorageConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.storage.errors import StoreError
from socbot.testing import said
from socbot.web import Web
from tests.canary import CANARIES, leaks
from tests.conftest import MakeBot
from tests.tour import Names, logged, take

BY_SHAPE = tuple(name for name in CANARIES if name not in ("database password", "ops token"))
"""What the bot takes out without knowing it; the others it has to be told of."""


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails with every secret in its mouth."""
    held = {name: CANARIES[name] for name in BY_SHAPE}
    try:
        raise KeyError(str(held))
    except KeyError as error:
        raise ValueError("\n".join(held.values())) from error


def shown(outcome: Outcome) -> str:
    """All that a transport could show of it."""
    reply = outcome.reply
    files = "" if reply is None else "\n".join(file.content.decode("utf-8", "replace") for file in reply.files)
    return f"{reply}\n{files}\n{reply!r}\n{outcome.reason}\n" + "\n".join(map(str, outcome.progress))


def read_all(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.promise("P11")
async def test_no_secret_leaves_over_the_whole_tour(
    make_bot: MakeBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[Reply]
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", CANARIES["bot token"])
    path = tmp_path / "config.yaml"
    write(path, f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\nlogs: {{level: DEBUG}}\n")
    seen = []
    async with make_bot(path, commands=[fail], jobs=True) as bot:
        with logged(bot, tmp_path / "logs" / "bot.log"):
            logging.getLogger("anything").error("about to fail: %s", "\n".join(CANARIES[name] for name in BY_SHAPE))
            failed = await bot.dispatch(said("!fail", "900"))
            assert failed.trace is not None
            assert failed.error_id is not None
            record = await bot.errors.find(failed.error_id)
            assert record is not None
            outcomes = [failed, *await take(bot, Names(failed.trace.id, failed.error_id, record.group_id))]
            seen += [shown(outcome) for outcome in outcomes]
            seen += [repr(bot.config), repr(bot), repr(bot.redactor), repr(record)]
    seen += [str(notice) for notice in notices]
    assert any("Critical" in str(notice) for notice in notices)
    for text in seen:
        assert leaks(text) == []
    assert leaks(read_all(tmp_path / "data")) == []
    assert leaks(read_all(tmp_path / "logs")) == []


@pytest.mark.promise("P11")
async def test_the_stores_password_is_shown_nowhere(make_bot: MakeBot) -> None:
    storage = StorageConfig(url=CANARIES["database URL"])
    assert leaks(repr(msgspec.structs.replace(Config(), storage=storage))) == []
    with pytest.raises(StoreError) as failure:
        async with make_bot(storage=storage):
            raise AssertionError("there is no such server")
    assert leaks(str(failure.value) + repr(failure.value)) == []


@pytest.mark.promise("P18")
@pytest.mark.parametrize("umask", [0o000, 0o022])
async def test_what_the_tour_writes_is_for_its_owner_alone(make_bot: MakeBot, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    modes: dict[Path, int] = {}
    try:
        folder = tmp_path / "made"
        storage = StorageConfig(url=f"sqlite:///{folder}/data/socbot.db")
        backup = BackupConfig(enabled=False, folder=f"{folder}/backups", paths=())
        async with make_bot(storage=storage, backup=backup, commands=[fail], jobs=True) as bot, Web(bot):
            # After each command, as some of what is written is there for a moment only.
            bot.dispatcher.observe(lambda outcome: modes.update(modes_below(folder)))
            with logged(bot, folder / "logs" / "bot.log"):
                failed = await bot.dispatch(said("!fail", "900"))
                assert failed.trace is not None
                await take(bot, Names(failed.trace.id, failed.error_id or "", "G-000000"))
                modes |= modes_below(folder)
        modes |= modes_below(folder)
    finally:
        os.umask(before)
    names = {path.name for path in modes}
    assert {"socbot.db", "socbot.db-wal", "bot.log", "backups", "webhooks.key", path_of(storage).name} <= names
    assert any(name.startswith("backup_manual") for name in names)
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    for made in ("data", "backups", "logs"):
        assert (folder / made / ".gitignore").read_text() == "*\n"


def write(path: Path, text: str) -> None:
    path.write_text(text)


def modes_below(folder: Path) -> dict[Path, int]:
    modes = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            modes[path] = path.stat().st_mode & 0o777
    return modes
