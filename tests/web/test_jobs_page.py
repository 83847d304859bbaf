"""The pages of the jobs: what ran, what did not, and what is next."""

import re
from collections.abc import Awaitable, Callable

import anyio
import pytest

from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.testing import FakeClock, owner_said
from tests.web.conftest import MakeSite, Site


async def run(site: Site, job: str) -> None:
    outcome = await site.bot.dispatch(owner_said(f"!run_task {job}"))
    assert outcome.status == "ok"


def add(site: Site, name: str, work: Callable[[], Awaitable[None]], seconds: float = 60.0) -> None:
    site.bot.supervisor.add(Job(name, work, Every(seconds), "does <i>work</i>"))


def found(facts: dict[str, list[dict[str, object]]], name: str) -> dict[str, object]:
    [job] = [each for each in facts["jobs"] if each["name"] == name]
    return job


async def test_what_ran_is_on_the_line_of_time_and_in_the_history(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await run(site, "monitor")
        clock.forward(3_600)
        await run(site, "monitor")
        job = found(await site.facts("/jobs"), "monitor")
        assert [(each["start"], each["runs"]) for each in job["timeline"]] == [  # type: ignore[attr-defined]
            (clock.time() - 3_600, 1),
            (clock.time(), 1),
        ]
        assert (job["runs"], job["failures"], job["last_success"]) == (2, 0, clock.time())
        page = await site.page("/jobs")
        assert page.count('<rect class="lane-ok"') == 2
        one = await site.facts("/jobs/monitor")
        assert [each["started_at"] for each in one["runs"]] == [clock.time(), clock.time() - 3_600]
        assert (await site.page("/jobs/monitor")).count(">ok</span>") == 2


async def test_runs_close_to_each_other_are_one_mark_and_a_failure_among_them_is_seen(
    make_site: MakeSite, clock: FakeClock
) -> None:
    fails = True

    async def work() -> None:
        if fails:
            raise OSError("no <room> left")

    async with make_site(clock=clock) as site:
        add(site, "flaky", work)
        await site.bot.dispatch(owner_said("!run_task flaky"))
        fails = False
        for _ in range(20):
            clock.forward(60)
            await run(site, "flaky")
        clock.forward(86_400 - 20 * 60 - 1)
        job = found(await site.facts("/jobs"), "flaky")
        stretches = [(each["outcome"], each["runs"]) for each in job["timeline"]]  # type: ignore[attr-defined]
        assert [outcome for outcome, _ in stretches] == ["failed", "ok"]
        assert sum(runs for _, runs in stretches) == 21
        assert job["last_error"] == "OSError: no <room> left"
        page = await site.page("/jobs")
        assert "no &lt;room&gt; left" in page
        assert "does &lt;i&gt;work&lt;/i&gt;" in page
        clock.forward(2)
        assert sum(e["runs"] for e in found(await site.facts("/jobs"), "flaky")["timeline"]) == 20  # type: ignore[attr-defined]


async def test_what_a_failure_says_is_for_owners(make_site: MakeSite, clock: FakeClock) -> None:
    async def work() -> None:
        raise OSError("/secret/path")

    async with make_site(clock=clock) as site:
        add(site, "flaky", work)
        await site.bot.dispatch(owner_said("!run_task flaky"))
        token = await site.bot.access.add("looks", "viewer", "test")
        for path in ("/jobs", "/api/v1/jobs", "/jobs/flaky", "/api/v1/jobs/flaky"):
            answer = await site.visitor.get(path, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200
            assert "/secret/path" not in answer.text
            assert "/actions/" not in answer.text
        assert "/secret/path" in await site.page("/jobs/flaky")


async def test_jobs_that_are_late_come_first_and_are_said(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        release = anyio.Event()
        add(site, "stuck", release.wait)
        async with site.bot.supervisor:
            await anyio.wait_all_tasks_blocked()
            clock.forward(200)
            facts = await site.facts("/jobs")
            page = await site.page("/jobs")
            release.set()
    late = [job["late"] for job in facts["jobs"]]
    assert late == sorted(late, reverse=True)
    stuck = found(facts, "stuck")
    assert (stuck["late"], stuck["overdue"]) == (True, 200)
    assert stuck["timeline"][-1]["outcome"] == "running"  # type: ignore[index]
    assert re.search(r"<b>stuck</b></a>\s*is late by 3m 20s", page)


async def test_what_was_stopped_is_said_and_can_be_started(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await site.bot.dispatch(owner_said("!stop_task monitor"))
        page = await site.page("/jobs")
        assert "Stopped by hand" in page
        assert 'action="/actions/start_job"' in await site.page("/jobs/monitor")
        answer = await site.owner.post("/api/v1/actions/start_job", json={"name": "monitor"})
        assert answer.status_code == 200
        assert "Stopped by hand" not in await site.page("/jobs")


async def test_the_history_goes_on_where_the_page_ends(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        for _ in range(53):
            clock.forward(60)
            await site.bot.supervisor.run_now("monitor")
        first = await site.facts("/jobs/monitor")
        assert len(first["runs"]) == 50
        rest = await site.facts(f"/jobs/monitor?before={first['older']}")
        assert [each["started_at"] for each in rest["runs"]] == [clock.time() - 60 * n for n in (50, 51, 52)]
        assert rest["older"] is None
        assert f"?before={first['older']}" in await site.page("/jobs/monitor")


@pytest.mark.parametrize("path", ["/jobs/nothing", "/jobs/%3Cscript%3E"])
async def test_a_job_that_is_not_there_is_not_found(make_site: MakeSite, path: str) -> None:
    async with make_site() as site:
        answer = await site.owner.get(path)
        assert answer.status_code == 404
        assert "<script>" not in answer.text.partition("<main")[2]
        assert (await site.owner.get("/api/v1" + path)).status_code == 404
