"""Who may use the dashboard, as it is asked and changed in chat and on the page of it."""

import re
from pathlib import Path

import httpx
import pytest

from socbot.dispatch.messages import Answer, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.redaction import redact
from socbot.systems.access import PLATFORM
from socbot.testing import OWNER, FakeClock, owner_said, said
from tests.tour import logged
from tests.web.conftest import MakeSite, Site

ME = ":".join(OWNER)
SECRET = re.compile(r"soc_[0-9a-f]{64}")


async def ask(site: Site, text: str) -> Outcome:
    return await site.bot.dispatch(owner_said(text))


async def confirmed(site: Site, text: str) -> Outcome:
    asked = await ask(site, text)
    assert asked.reply is not None
    assert asked.reply.question is not None, asked.reply
    message = owner_said("")
    answer = Answer(asked.reply.question.token, True)
    return await site.bot.dispatch(
        Message("", message.author, message.platform, message.channel, message.guild, answer=answer)
    )


def secret_in(outcome: Outcome) -> str:
    found = SECRET.search(str(outcome.reply))
    assert found is not None, outcome.reply
    return found[0]


async def test_the_owner_is_given_a_link_that_signs_in(make_site: MakeSite) -> None:
    async with make_site() as site:
        given = await ask(site, "!dashboard")
        assert given.reply is not None
        assert given.reply.private
        assert site.web.address in str(given.reply)
        link = re.search(r"http\S+/login\?ticket=\S+", str(given.reply))
        assert link is not None
        async with httpx.AsyncClient(base_url=site.web.address, trust_env=False, follow_redirects=True) as client:
            form = await client.get(link[0])
            assert secret_in(given) in form.text
            page = await client.post("/login", data={"ticket": secret_in(given)})
            assert page.status_code == 200
            assert str(page.url) == f"{site.web.address}/"
            assert "Sign out" in page.text
            assert f'<b class="mono">{ME}</b>' in (await client.get("/access")).text


async def test_a_token_is_made_used_and_taken_away(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        made = await ask(site, "!token_add prometheus")
        assert made.reply is not None
        assert made.reply.private
        headers = {"Authorization": f"Bearer {secret_in(made)}"}
        assert (await site.visitor.get("/api/v1/overview", headers=headers)).status_code == 200
        listed = str((await ask(site, "!tokens")).reply)
        assert "prometheus** (viewer)" in listed
        assert not SECRET.search(listed)
        facts = {each["name"]: each for each in (await site.facts("/access"))["tokens"]}
        assert facts["prometheus"] == {
            "name": "prometheus", "role": "viewer", "configured": False, "made_by": ME, "made_at": clock.time(),
            "used_at": clock.time(), "sessions": 0,
        }  # fmt: skip
        gone = await confirmed(site, "!token_remove prometheus")
        assert gone.status == "ok"
        assert (await site.visitor.get("/api/v1/overview", headers=headers)).status_code == 401
        assert (await ask(site, "!token_remove prometheus")).status == "invalid"


@pytest.mark.parametrize("given", ["", "a/b", "config", "x boss", "(a)", "a" * 33])
async def test_what_is_no_name_or_role_is_said(make_site: MakeSite, given: str) -> None:
    async with make_site() as site:
        before = site.bot.access.tokens()
        assert (await ask(site, f"!token_add {given}")).status == "invalid"
        assert site.bot.access.tokens() == before


@pytest.mark.promise("P01")
async def test_nobody_else_is_told_anything(make_site: MakeSite) -> None:
    async with make_site() as site:
        for text in ("!dashboard", "!tokens", "!token_add mine owner", "!token_remove first"):
            name = text.split()[0].strip("!")
            await site.bot.access.add(name, "viewer", ME)
            for message in (said(text, name, admin=True), Message(text, User(name), PLATFORM, PLATFORM)):
                outcome = await site.bot.dispatch(message)
                assert outcome.refused_by == "permission", text
                assert not SECRET.search(str(outcome.reply))


async def test_a_token_is_made_and_taken_away_on_the_page(make_site: MakeSite) -> None:
    async with make_site() as site, httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
        client.base_url = httpx.URL(site.web.address)
        page = (await client.post("/login", data={"ticket": site.bot.access.ticket(ME)})).text
        found = re.search(r'name="csrf" value="(\w+)"', page)
        assert found is not None
        form = {"csrf": found[1], "back": "/access"}
        made = await client.post("/actions/token_add", data=form | {"name": "ci", "role": "sender"})
        text = re.search(r"(?<=<code>)soc_[0-9a-f]{64}(?=</code>)", made.text)
        assert text is not None
        token = site.bot.access.token(text[0])
        assert token is not None
        assert token.role == "sender"
        assert token.made_by == f"{PLATFORM}:{ME}"
        again = (await client.get("/access")).text
        assert text[0] not in again  # shown once
        question = await client.post("/actions/token_remove", data=form | {"name": "ci"})
        confirm = re.search(r'name="confirm" value="(\w+)"', question.text)
        assert confirm is not None
        assert site.bot.access.token(text[0]) is not None
        await client.post("/actions/token_remove", data=form | {"confirm": confirm[1], "answer": "yes"})
        assert site.bot.access.token(text[0]) is None


@pytest.mark.promise("P38")
async def test_what_stands_on_the_page_is_inert(make_site: MakeSite) -> None:
    hostile = "x:<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    async with make_site(owners=[OWNER, ("x", hostile.removeprefix("x:"))]) as site:
        await site.bot.access.add("ops", "viewer", hostile)
        await site.bot.access.redeem(site.bot.access.ticket(hostile))
        page = await site.page("/access")
        assert "<script>alert" not in page
        assert "<img" not in page
        assert page.count("&lt;script&gt;") >= 3
        assert (await site.facts("/access"))["sessions"][0]["token"] == hostile


@pytest.mark.promise("P11")
async def test_no_secret_of_access_is_logged_kept_or_listed(make_site: MakeSite, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "bot.log"
    async with make_site() as site:
        with logged(site.bot, log):
            token, link = secret_in(await ask(site, "!token_add ops owner")), secret_in(await ask(site, "!dashboard"))
            bearer = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=site.web.address, trust_env=False) as client:
                await client.get(f"/login?ticket={link}")
                signed_in = await client.post("/login", data={"ticket": link})
                session = signed_in.cookies["socbot_session"]
                await client.post("/login", data={"token": token})
                await client.get("/api/v1/overview", headers=bearer)
                await client.get("/nosuch", headers=bearer)
                await client.get("/api/v1/overview", headers={"Authorization": f"Bearer {token}x"})
            await ask(site, f"!token_remove {token}")
            await ask(site, f"!token_add {token}")
            await site.bot.audit.flush()
            await site.bot.telemetry.flush()
            pages = [await site.page("/access"), str(await site.bot.audit.entries(100))]
    content = log.read_bytes() + b"".join(path.read_bytes() for path in (tmp_path / "data").glob("socbot.db*"))
    for secret in (token, link, session):
        assert secret.encode() not in content
        assert all(secret not in page for page in pages)
        assert secret not in redact(f"what {secret} was")
        assert secret[:30] not in redact(f"what {secret[:30]} was")
