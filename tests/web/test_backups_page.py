"""The page of the backups: what can be trusted, what was made, what is missing."""

from pathlib import Path

from socbot.config import BackupConfig
from socbot.testing import FakeClock
from tests.web.conftest import MakeSite

HOUR, DAY = 3_600.0, 86_400.0


async def test_without_any_it_says_what_to_do(make_site: MakeSite) -> None:
    async with make_site() as site:
        page = await site.page("/backups")
        assert "There is none yet." in page
        assert "No backups are made by themselves" in page
        assert 'action="/actions/backup_now"' in page


async def test_five_weeks_show_what_was_made_what_has_gone_and_what_is_missing(
    make_site: MakeSite, clock: FakeClock, tmp_path: Path
) -> None:
    config = BackupConfig(folder=f"{tmp_path}/backups", paths=())
    async with make_site(clock=clock, backup=config) as site:
        backups = site.bot.backups
        for _ in range(4):
            await backups.make_due()
            clock.forward(DAY)
        await backups.drill()
        clock.forward(2 * DAY)
        await backups.make_due()
        for path in (tmp_path / "backups").glob("backup_daily_*"):
            oldest = min((tmp_path / "backups").glob("backup_daily_*"))
            if path == oldest:
                path.unlink()
        facts = await site.facts("/backups")
        page = await site.page("/backups")
    days = {row["type"]: [cell["state"] for cell in row["cells"]] for row in facts["calendar"]}
    assert len(facts["days"]) == 35
    assert days["weekly"][-8:] == ["none", "verified", *["none"] * 6]
    # From the oldest, weekly one on: a daily one that has gone, two that are there, the last of them proven; then none.
    assert days["daily"][-7:-1] == ["none", "gone", "verified", "proven", "missing", "missing"]
    assert days["daily"][-1] == "verified"
    assert days["hourly"][-3:-1] == ["missing", "missing"]
    assert facts["proven_name"] in page
    assert facts["drills"][0]["passed"] is True
    assert [step["step"] for step in facts["drills"][0]["steps"]][:2] == ["unpack and verify", "check the database"]
    assert page.count('class="cell bad"') == 4
    assert "keeps it" in page


async def test_what_is_due_and_what_is_too_old_is_said(make_site: MakeSite, clock: FakeClock, tmp_path: Path) -> None:
    config = BackupConfig(folder=f"{tmp_path}/backups", paths=())
    async with make_site(clock=clock, backup=config) as site:
        await site.bot.backups.make_due()
        facts = await site.facts("/backups")
        assert facts["due"] == {
            "hourly": clock.time() + HOUR - 3_000,
            "daily": clock.time() + DAY - 3_000,
            "weekly": clock.time() + 7 * DAY - 3_000,
        }
        assert "The newest good backup was made" in await site.page("/backups")
        clock.forward(3 * HOUR)
        page = await site.page("/backups")
        assert "3 times as old as it should be" in page
        assert "due now" in page


async def test_a_damaged_one_is_said_first(make_site: MakeSite, clock: FakeClock, tmp_path: Path) -> None:
    async with make_site(clock=clock) as site:
        made = await site.bot.backups.now()
        content = bytearray(made.backup.path.read_bytes())
        content[len(content) // 3] ^= 0xFF
        made.backup.path.write_bytes(content)
        answer = await site.owner.post("/api/v1/actions/verify_backup", json={"name": made.backup.name})
        assert answer.status_code == 200
        page = await site.page("/backups")
        assert f"<code>{made.backup.name}</code> is damaged" in page
        assert (await site.facts("/backups"))["last_good"] is None


async def test_a_folder_that_cannot_be_read_is_said(make_site: MakeSite, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("no folder")
    async with make_site() as site:
        (tmp_path / "backups").unlink()
        (tmp_path / "backups").symlink_to(tmp_path / "backups")
        page = await site.page("/backups")
        assert "cannot be read" in page
        assert "Nothing is known of the backups." in page
