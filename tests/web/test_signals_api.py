"""Signals from outside: what other systems report comes to the place where the bot's own alerts are."""

from typing import Any

import httpx
import pytest

from socbot.systems.access import PLATFORM, Role
from socbot.systems.signals import Signal
from socbot.testing import FakeClock
from tests.web.conftest import MakeSite, Site

ALERT = {
    "status": "firing",
    "labels": {"alertname": "DiskFull", "severity": "critical", "instance": "db1:9100"},
    "annotations": {"summary": "Disk of db1 is full", "description": "97 % used", "runbook_url": "https://wiki/disk"},
    "startsAt": "2026-11-26T03:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus:9090/graph",
    "fingerprint": "c4ffee",
}
NOTIFICATION = {
    "version": "4",
    "groupKey": '{}:{alertname="DiskFull"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "socbot",
    "groupLabels": {"alertname": "DiskFull"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "alerts": [ALERT],
}


class Sender:
    """Another system, with a token of its own."""

    def __init__(self, site: Site, token: str) -> None:
        self._site, self._headers = site, {"Authorization": f"Bearer {token}"}

    async def raises(self, **report: Any) -> httpx.Response:
        return await self._site.visitor.post("/api/v1/signals", json=report, headers=self._headers)

    async def notifies(self, notification: object) -> httpx.Response:
        url = "/api/v1/signals/alertmanager"
        return await self._site.visitor.post(url, json=notification, headers=self._headers)


async def a_sender(site: Site, name: str = "grafana", role: Role = "sender") -> Sender:
    return Sender(site, await site.bot.access.add(name, role, "test"))


async def kept(site: Site) -> list[Signal]:
    return [each.signal for each in await site.bot.signals.recent()]


async def test_a_report_is_a_signal_with_its_source(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        sender = await a_sender(site)
        report = {
            "severity": "critical",
            "title": "Login storm",
            "text": "40 a second",
            "fields": {"host": "db1", "n": 3},
        }
        answer = await sender.raises(**report)
        assert answer.status_code == 202, answer.text
        (signal,) = await kept(site)
        assert answer.json() == {"id": signal.id, "count": 1}
        assert (signal.kind, signal.severity, signal.title, signal.text) == (
            "alert", "critical", "Login storm", "40 a second",
        )  # fmt: skip
        assert signal.source == f"{PLATFORM}:grafana"
        assert signal.fields == (("host", "db1"), ("n", "3"))
        record = (await site.bot.audit.entries())[0]
        assert (record.who, record.action) == (f"{PLATFORM}:grafana", "signal")
        assert "Login storm" in record.what


async def test_alike_reports_are_one_signal_and_one_record(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        sender, other = await a_sender(site), await a_sender(site, "uptime")
        counts = [(await sender.raises(title="Down", key="web1")).json()["count"] for _ in range(3)]
        assert counts == [1, 2, 3]
        assert (await other.raises(title="Down", key="web1")).json()["count"] == 1
        assert len(await kept(site)) == 2
        assert [each.action for each in await site.bot.audit.entries()].count("signal") == 2


async def test_nobody_outside_can_hide_what_the_bot_itself_raises(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        sender = await a_sender(site)
        await sender.raises(kind="job", title="Job backup has failed", key="job:backup")
        own = await site.bot.signals.raise_("job", "Job backup has failed", key="job:backup")
        assert own.count == 1


async def test_what_goes_out_is_without_secrets(make_site: MakeSite) -> None:
    async with make_site() as site:
        sender = await a_sender(site)
        await sender.raises(
            title="Leak", text="password=hunter2hunter2", fields={"url": "https://me:hunter2hunter2@db1/"}
        )
        (signal,) = await kept(site)
        assert "hunter2hunter2" not in signal.text
        assert "hunter2hunter2" not in str(signal.fields)


@pytest.mark.promise("P38")
async def test_who_may_report_and_who_may_not(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert (await (await a_sender(site, "boss", "owner")).raises(title="x")).status_code == 202
        assert (await (await a_sender(site, "looker", "viewer")).raises(title="x")).status_code == 403
        assert (await Sender(site, "soc_" + "0" * 64).raises(title="x")).status_code == 401
        sender = await a_sender(site)
        for path in ("/api/v1/overview", "/api/v1/openapi.json", "/api/v1/signals", "/"):
            assert (await site.visitor.get(path, headers=sender._headers)).status_code == 403, path
        assert len(await kept(site)) == 1


async def test_what_is_no_report_is_a_problem(make_site: MakeSite) -> None:
    async with make_site() as site:
        sender = await a_sender(site)
        for report, told in (
            ({}, "title"),
            ({"title": ""}, "title"),
            ({"title": "x" * 201}, "title"),
            ({"title": "x", "kind": "drill"}, "kind"),
            ({"title": "x", "severity": "fatal"}, "severity"),
            ({"title": "x", "colour": "red"}, "colour"),
            ({"title": "x", "fields": {"a": None}}, "fields"),
            ({"title": "x", "fields": {f"f{n}": 1 for n in range(21)}}, "fields"),
        ):
            answer = await sender.raises(**report)
            assert answer.status_code == 422, report
            assert told in answer.json()["detail"], report
        assert (await sender.raises(title="x", text="y" * 20_000)).status_code == 413
        assert await kept(site) == []


async def test_a_flood_is_turned_away_until_it_ends(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        sender, other = await a_sender(site), await a_sender(site, "uptime")
        for n in range(60):
            assert (await sender.raises(title="flood", key=f"{n // 30}")).status_code == 202
        answer = await sender.raises(title="flood")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert (await other.raises(title="quiet")).status_code == 202
        clock.forward(1.0)
        assert (await sender.raises(title="flood")).status_code == 202
        assert (await sender.raises(title="flood")).status_code == 429


async def test_an_alert_of_alertmanagers_is_a_signal(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        sender = await a_sender(site, "alertmanager")
        answer = await sender.notifies(NOTIFICATION)
        assert answer.status_code == 202, answer.text
        (signal,) = await kept(site)
        assert answer.json() == {"ids": [signal.id]}
        assert (signal.kind, signal.severity, signal.title, signal.text) == (
            "alert", "critical", "Disk of db1 is full", "97 % used",
        )  # fmt: skip
        assert ("instance", "db1:9100") in signal.fields
        assert signal.fields[0] == ("runbook", "https://wiki/disk")


async def test_an_alert_is_counted_while_it_is_repeated_and_new_when_it_fires_again(
    make_site: MakeSite, clock: FakeClock
) -> None:
    async with make_site(clock=clock) as site:
        sender = await a_sender(site, "alertmanager")
        again = ALERT | {"startsAt": "2026-11-26T03:04:00Z"}
        for alert in (ALERT, ALERT, ALERT | {"status": "resolved"}, again):
            await sender.notifies(NOTIFICATION | {"alerts": [alert]})
            clock.forward(60.0)
        found = sorted((each.at, each.title, each.severity, each.count) for each in await kept(site))
        assert [each[1:] for each in found] == [
            ("Disk of db1 is full", "critical", 2),
            ("Resolved: Disk of db1 is full", "info", 1),
            ("Disk of db1 is full", "critical", 1),
        ]


async def test_many_alerts_at_once_are_bounded_and_paid_for(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        sender = await a_sender(site, "alertmanager")
        many = [ALERT | {"fingerprint": str(n)} for n in range(130)]
        answer = await sender.notifies(NOTIFICATION | {"alerts": many, "truncatedAlerts": 7})
        assert answer.status_code == 202
        assert len(answer.json()["ids"]) == 101
        titles = [each.signal.title for each in await site.bot.signals.recent(limit=200)]
        assert "37 more alerts are not shown one by one" in titles
        records = [each for each in await site.bot.audit.entries() if each.action == "signal"]
        assert len(records) == 1
        assert records[0].what.endswith("and 100 more")
        turned = await sender.notifies(NOTIFICATION)
        assert (turned.status_code, turned.headers["Retry-After"]) == (429, "42")


async def test_a_notification_without_what_is_needed_is_a_problem(make_site: MakeSite) -> None:
    async with make_site() as site:
        sender = await a_sender(site, "alertmanager")
        notifications: tuple[Any, ...] = (
            {},
            {"alerts": [{"status": "odd"}]},
            {"alerts": [{"labels": {"a": 1}, "status": "firing"}]},
            [],
        )
        for wrong in notifications:
            answer = await sender.notifies(wrong)
            assert answer.status_code == 422, wrong
        bare = await sender.notifies({"alerts": [{"status": "firing"}]})
        assert bare.status_code == 202
        assert [each.title for each in await kept(site)] == ["alert"]
