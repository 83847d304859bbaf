"""What is sent of a signal: nothing of it acts, all of it fits, and a drill is told from an alert."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.systems.signals import Kind, Severity, Signal
from socbot.systems.webhooks import payloads
from socbot.systems.webhooks.payloads import cut, units

HOSTILE = (
    "@everyone", "@here", "<@123456789012345678>", "<@&123456789012345678>", "@\u200beveryone", "<!channel>",
    "<!here|here>", "<!everyone>", "<@U01ABCDEF>", "<#C01ABCDEF>", "<https://evil.example|Your bank>",
    "[Your bank](https://evil.example)", "```\n@everyone\n```", "`@here`", "\u202edesrever", "a\x00b\x1b[31mred",
    "<t:0:R>", "</command:123456789012345678>", "\ud800", "@channel &lt;!channel&gt;", "\u2028@everyone", "&<>",
)  # fmt: skip
KINDS: tuple[Kind, ...] = ("error", "alert", "drill", "incident", "health", "backup", "job", "security", "test")
ACTIVE_ON_DISCORD = ("@everyone", "@here", "<@", "<#", "<t:", "</", "](", "`", "\u202e", "\x1b", "\x00")
ACTIVE_ON_SLACK = ("<!", "<@", "<#", "<http", "@everyone", "@here", "@channel", "\u202e", "\x1b", "\x00")


def signal(kind: Kind = "alert", title: str = "Title", text: str = "Text", **more: Any) -> Signal:
    return Signal("S-0123456789AB", kind, more.pop("severity", "warning"), title, text, 1.7e9, 1.7e9 + 5, **more)


def strings(value: object) -> list[str]:
    """Every text in a decoded payload."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def hostile(text: str, kind: Kind = "alert") -> tuple[Signal, ...]:
    return (signal(kind, text, text, source=text, subject=text, fields=((text, text),)),)


@pytest.mark.promise("P36")
@pytest.mark.parametrize("text", HOSTILE, ids=repr)
@pytest.mark.parametrize("several", [1, 3])
def test_nothing_acts_on_discord(text: str, several: int) -> None:
    for edit in (False, True):
        payload = json.loads(payloads.discord(hostile(text) * several, edit=edit))
        assert payload["allowed_mentions"] == {"parse": []}
        for each in strings(payload):
            assert not any(active in each for active in ACTIVE_ON_DISCORD), each


@pytest.mark.promise("P36")
@pytest.mark.parametrize("text", HOSTILE, ids=repr)
@pytest.mark.parametrize("several", [1, 3])
def test_nothing_acts_on_slack(text: str, several: int) -> None:
    payload = json.loads(payloads.slack(hostile(text) * several))
    assert (payload["parse"], payload["link_names"], payload["mrkdwn"]) == ("none", False, False)
    assert payload["attachments"][0]["mrkdwn_in"] == []
    for each in strings(payload):
        assert not any(active in each for active in ACTIVE_ON_SLACK), each
        assert "<" not in each
        assert ">" not in each
        assert "&" not in each.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")


@pytest.mark.promise("P36")
@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_nothing_acts_through_apprise(text: str) -> None:
    for part in payloads.plain(hostile(text)):
        assert not any(active in part for active in ACTIVE_ON_DISCORD), part


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_a_program_is_sent_what_was_written(text: str) -> None:
    payload = json.loads(payloads.custom(hostile(text)[0]))
    assert payload["text"] == text.replace("\ud800", "?")
    assert payload["message"] == f"{payload['title']}\n{payload['text']}"


letters = st.text(st.sampled_from("aé😀👨\u200d👩\u0301\n`@<>&x"), max_size=40).flatmap(
    lambda unit: st.integers(1, 120).map(lambda times: unit * times)
)


@pytest.mark.promise("P36")
@given(title=letters, text=letters, fields=st.lists(st.tuples(letters, letters), max_size=20))
def test_everything_fits(title: str, text: str, fields: list[tuple[str, str]]) -> None:
    made = signal(title=title[:200], text=text[:4_000], fields=tuple(fields))
    for signals in ((made,), (made,) * 200):
        payload = json.loads(payloads.discord(signals))
        (embed,) = payload["embeds"]
        shown = [embed["title"], embed.get("description", ""), embed.get("footer", {}).get("text", "")]
        shown += [part for field in embed.get("fields", ()) for part in (field["name"], field["value"])]
        assert 0 < units(payload["content"]) <= 2_000
        assert 0 < units(embed["title"]) <= 256
        assert units(embed.get("description", "")) <= 4_096
        assert sum(map(units, shown)) <= 6_000
        assert len(embed.get("fields", ())) <= 25
        assert all(
            0 < units(field["name"]) <= 256 and 0 < units(field["value"]) <= 1_024 for field in embed.get("fields", ())
        )
        assert units(json.loads(payloads.slack(signals))["text"]) <= 40_000


@pytest.mark.promise("P36")
@pytest.mark.parametrize("character", ["a", "é", "e\u0301", "😀", "👨\u200d👩\u200d👧", "🇩🇪"])
@pytest.mark.parametrize("limit", [10, 11, 12, 13, 2_000])
def test_no_character_is_torn(character: str, limit: int) -> None:
    shown = cut(character * 3_000, limit)
    assert units(shown) <= limit
    assert shown.endswith("…")
    assert set(shown[:-1].split(character)) <= {""}


def test_a_character_that_never_ends_is_cut() -> None:
    assert units(cut("e" + "\u0301" * 100_000, 50)) <= 50


@pytest.mark.promise("P36")
def test_a_drill_never_looks_like_an_alert() -> None:
    title = "🔴 [ALERT] Everything is on fire"
    drill, alert = (signal(kind, title, severity="critical") for kind in ("drill", "alert"))
    for make in (payloads.discord, payloads.slack):
        shown, real = json.loads(make((drill,))), json.loads(make((alert,)))
        first = "content" if make is payloads.discord else "text"
        assert shown[first].startswith("🧪 [DRILL]")
        assert real[first].startswith("🔴 [ALERT]")
        assert shown["username"] == "SOC Bot - Drills"
        assert real["username"] == "SOC Bot - Alerts"
    assert json.loads(payloads.discord((drill,)))["embeds"][0]["color"] == payloads.PURPLE
    assert payloads.plain((drill,))[0].startswith("🧪 [DRILL]")
    custom = json.loads(payloads.custom(drill))
    assert (custom["event"], custom["drill"]) == ("drill", True)
    assert custom["message"].startswith("DRILL: ")
    colours = {
        payloads.colour((signal(kind, severity=severity),))
        for kind in KINDS
        if kind != "drill"
        for severity in SEVERITIES
    }
    assert payloads.PURPLE not in colours


SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


@pytest.mark.parametrize(
    ("kind", "username", "colour"),
    [
        ("error", "SOC Bot - Errors", 0xFF0000),
        ("alert", "SOC Bot - Alerts", 0xFFA500),
        ("test", "SOC Bot - Test", 0x00FF00),
    ],
)
def test_senders_and_colours_are_those_of_the_older_bot(kind: Kind, username: str, colour: int) -> None:
    shown = json.loads(payloads.discord((signal(kind),)))
    assert (shown["username"], shown["embeds"][0]["color"]) == (username, colour)
    shown = json.loads(payloads.slack((signal(kind),)))
    assert (shown["username"], shown["attachments"][0]["color"]) == (username, f"#{colour:06x}")


def test_the_fields_of_a_custom_event_are_those_of_the_older_bot_and_more() -> None:
    payload = json.loads(payloads.custom(signal(fields=(("a", "b"),), source="bot", count=3)))
    assert payload == {
        "id": "S-0123456789AB", "event": "alert", "severity": "warning", "message": "Title\nText",
        "timestamp": "2023-11-14T22:13:20.000Z", "title": "Title", "text": "Text", "drill": False, "source": "bot",
        "subject": "", "fields": [{"name": "a", "value": "b"}], "count": 3, "last_at": "2023-11-14T22:13:25.000Z",
    }  # fmt: skip


def test_a_digest_says_each_thing_once_the_worst_first() -> None:
    many = [signal(title="Small", severity="info")] * 5 + [signal(title="Big", severity="critical", count=7)] * 2
    embed = json.loads(payloads.discord(many))["embeds"][0]
    assert embed["title"] == "7 events that waited"
    assert embed["description"].splitlines() == ["🔴 [ALERT] Big (14 times)", "🔵 [ALERT] Small (5 times)"]
