"""The server: there while it is entered, on a thread of its own."""

import pytest

from tests.web.conftest import MakeSite


async def test_it_shows_the_same_facts_as_a_page_and_as_json(make_site: MakeSite) -> None:
    async with make_site() as site:
        await site.bot.health.ask()
        facts = await site.facts("/overview")
        assert facts["live"]["ok"] is True
        assert facts["health"] in await site.page("/")


@pytest.mark.parametrize("path", ["/", "/api/v1/overview"])
async def test_strangers_see_nothing(make_site: MakeSite, path: str) -> None:
    async with make_site() as site:
        answer = await site.visitor.get(path)
        assert answer.status_code in (303, 401)
        assert "Health" not in answer.text
