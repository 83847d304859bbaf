"""The page of the settings: every key, and of no secret more than whether there is one."""

from pathlib import Path
from typing import Any

import pytest

from socbot.config import Config
from socbot.systems.settings import effect
from socbot.testing import FakeClock, owner_said
from socbot.web.views.settings import purpose, without_password
from tests.web.conftest import MakeSite

SECRETS = {
    "discord.token": "hushed-discord-token",
    "backup.passphrase": "hushed-passphrase",
    "webhooks.proxy": "http://hushed-user:hushed-proxy@proxy.example.org:3128",
    "health.dead_mans_switch": "https://example.org/hushed-switch",
    "web.viewer_token": "hushed-viewer-token-that-is-long-enough-0123456789",
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\nweb: {{port: 0}}\n{text}")
    return path


def key(facts: Any, name: str) -> dict[str, Any]:
    [found] = [each for each in facts["keys"] if each["key"] == name]
    return dict(found)


async def test_every_key_is_there_with_where_it_comes_from_and_what_it_is_for(
    make_site: MakeSite, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCBOT_BOT__NAME", "<Bot>")
    path = written(tmp_path, "rate_limit: {window: 30s}\nmiddleware: [blacklist, rate_limit]\n")
    async with make_site(config=path, clock=clock) as site:
        await site.bot.dispatch(owner_said("!rate_limit_config set burst 12"))
        facts = await site.facts("/settings")
        page = await site.page("/settings")
    assert {each["section"] for each in facts["keys"]} == set(Config.__struct_fields__)
    window, burst, decay = (key(facts, f"rate_limit.{name}") for name in ("window", "burst", "decay"))
    assert (window["value"], window["default"], window["origin"]) == ("30s", "1m", "config.yaml line 3")
    assert (burst["value"], burst["origin"], burst["set_at"]) == ("12", "set", clock.time())
    assert burst["purpose"] == "commands of one user at once, and as many in each window on average"
    assert [key(facts, each)["origin"] for each in ("middleware", "handlers")] == ["config.yaml line 4", "default"]
    assert (decay["origin"], decay["changed"], decay["editable"]) == ("default", False, True)
    assert (key(facts, "bot.name")["origin"], key(facts, "bot.name")["value"]) == ("SOCBOT_BOT__NAME", "<Bot>")
    assert "&lt;Bot&gt;" in page
    assert page.index("Not at their defaults") < page.index('id="section-bot"')


@pytest.mark.promise("P11")
async def test_no_secret_is_shown(make_site: MakeSite, tmp_path: Path) -> None:
    sections: dict[str, list[str]] = {}
    for name, secret in SECRETS.items():
        section, _, rest = name.partition(".")
        sections.setdefault(section, []).append(f"{rest}: '{secret}'")
    web = sections.pop("web")
    text = "".join(f"{name}: {{{', '.join(pairs)}}}\n" for name, pairs in sections.items())
    path = written(tmp_path, text)
    path.write_text(path.read_text().replace("port: 0", f"port: 0, {web[0]}"))
    async with make_site(config=path) as site:
        for shown in (await site.page("/settings"), str(await site.facts("/settings"))):
            assert "hushed" not in shown
        assert key(await site.facts("/settings"), "discord.token")["value"] == "(set)"


async def test_a_search_finds_keys_by_name_value_and_purpose(make_site: MakeSite) -> None:
    async with make_site() as site:
        for wanted, name in (
            ("cooldowns.SHUTDOWN", "rate_limit.cooldowns.shutdown"),
            ("europe/berlin", "bot.time_zone"),
            ("Contact the bot's owner", "blacklist.appeal"),
        ):
            facts = (await site.owner.get("/api/v1/settings", params={"q": wanted})).json()
            assert name in {each["key"] for each in facts["keys"]}
            assert len(facts["keys"]) < 10
        assert "No key has that" in await site.page("/settings?q=%3Cscript%3E")


async def test_a_key_is_set_and_reset_from_the_page_and_maintenance_begins_and_ends(make_site: MakeSite) -> None:
    async with make_site() as site:
        act = "/api/v1/actions/"
        body = {"section": "rate_limit", "key": "rate_limit.burst", "value": "7"}
        assert (await site.owner.post(act + "set_setting", json=body)).status_code == 200
        assert key(await site.facts("/settings"), "rate_limit.burst")["value"] == "7"
        assert key(await site.facts("/settings"), "rate_limit.burst")["resettable"] is True
        body.pop("value")
        assert (await site.owner.post(act + "reset_setting", json=body)).status_code == 200
        assert key(await site.facts("/settings"), "rate_limit.burst")["origin"] == "default"
        answer = await site.owner.post(act + "maintenance", json={"state": "on", "message": "<i>back soon</i>"})
        assert answer.status_code == 200
        assert "&lt;i&gt;back soon&lt;/i&gt;" in await site.page("/settings")
        await site.owner.post(act + "maintenance", json={"state": "off"})
        assert (await site.facts("/settings"))["maintenance"] is None


async def test_what_needs_a_restart_is_said_once_it_was_changed(make_site: MakeSite, tmp_path: Path) -> None:
    path = written(tmp_path, "bot: {time_zone: UTC, prefix: '!'}\n")
    async with make_site(config=path) as site:
        path.write_text(path.read_text().replace("UTC", "Europe/Berlin").replace("'!'", "'?'"))
        await site.bot.reload()
        assert (await site.facts("/settings"))["awaiting_start"] == ["bot.time_zone"]
        assert "as before until the next start" in await site.page("/settings")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("storage.url", "restart"),
        ("handlers", "restart"),
        ("logs.file", "restart"),
        ("bot.prefix", "reload"),
        ("backup.folder", "reload"),
        ("discord.status", "reload"),
        ("webhooks.key", "reload"),
        ("rate_limit.cooldowns.ping", "at once"),
    ],
)
def test_what_a_change_takes(name: str, wanted: str) -> None:
    assert effect(name) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "bot.owners",
            "who may use owner commands: platform:id, such as discord:123 or irc:alice; a bare id is Discord's",
        ),
        ("rate_limit.cooldowns.shutdown", "of single commands, for each user"),
        ("health.cpu_percent.degraded", "of one core"),
        ("middleware", "The chain, outermost first"),
        ("bot.name", ""),
    ],
)
def test_what_a_key_is_for_is_what_the_shipped_file_says(name: str, wanted: str) -> None:
    assert purpose(name).startswith(wanted)
    assert bool(purpose(name)) == bool(wanted)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("sqlite:///data/socbot.db", "sqlite:///data/socbot.db"),
        ("postgresql://bot:hushed@db.example.org:5432/socbot", "postgresql://bot:…@db.example.org:5432/socbot"),
        ("postgresql://bot@db/socbot", "postgresql://bot@db/socbot"),
        ("postgresql://db/socbot?password=hushed", "postgresql://db/socbot?…"),
        ("postgresql://[hushed", "(cannot be shown)"),
    ],
)
def test_the_address_of_a_store_is_shown_without_its_password(url: str, wanted: str) -> None:
    assert without_password(url) == wanted
