"""No secret is to be seen: a failure that is full of them, the tour, then every page and all else that is served."""

import re
from collections import deque
from pathlib import Path

import pytest

from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.testing import said
from socbot.web.rendering import NAVIGATION
from socbot.web.views import VIEWS
from tests.canary import CANARIES, leaks
from tests.tour import Names, logged, take
from tests.web.browser.ways import pattern_of
from tests.web.conftest import MakeSite, Site

BY_SHAPE = [secret for name, secret in CANARIES.items() if name not in ("database password", "ops token")]
BESIDE = (
    "/metrics",
    "/api/v1/openapi.json",
    "/livez?verbose",
    "/readyz?verbose",
    "/startupz?verbose",
    "/healthz?verbose",
)
_LINK = re.compile(r'href="(/[^"#?]*)')


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails with every secret in its mouth."""
    raise ValueError("\n".join(BY_SHAPE))


async def everything(site: Site) -> dict[str, str]:
    """Every page that there is, followed by links, once for each view and at most three for those of single things."""
    seen, found = {"": 0}, dict[str, str]()
    paths = deque(address for _, entries in NAVIGATION for address, _, _ in entries)
    while paths:
        path = paths.popleft()
        pattern = pattern_of(path)
        if path in found or pattern is None or seen.get(pattern, 0) >= 3:
            continue
        seen[pattern] = seen.get(pattern, 0) + 1
        answer = await site.owner.get(path)
        found[path] = answer.text
        assert answer.status_code == 200 or "{" in pattern, path  # what led to it may be older than a clearing
        assert len(answer.content) < 300_000, path
        paths.extend(_LINK.findall(answer.text))
        answer = await site.owner.get("/api/v1" + (path if path != "/" else "/overview"))
        found["/api/v1" + path] = answer.text
    assert set(seen) >= {view.path for view in VIEWS if "{" not in view.path}
    for path in BESIDE:
        found[path] = (await site.owner.get(path)).text
    return found


@pytest.mark.promise("P11")
async def test_no_secret_is_to_be_seen(make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", CANARIES["bot token"])
    path = tmp_path / "config.yaml"
    path.write_text(
        f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\nlogs: {{level: DEBUG}}\n"
        f"web: {{port: 0, token: '{CANARIES['ops token']}'}}\n"
        f"health: {{dead_mans_switch: 'https://example.org/{CANARIES['API key']}'}}\n"
    )
    async with make_site(config=path, commands=[fail], jobs=True) as site:
        bot = site.bot
        with logged(bot, tmp_path / "logs" / "bot.log"):
            failed = await bot.dispatch(said("!fail", "900"))
            record = await bot.errors.find(failed.error_id or "")
            assert record is not None
            assert failed.trace is not None
            await take(bot, Names(failed.trace.id, record.error_id, record.group_id))
            again = await bot.dispatch(said("!fail", "77001"))  # the tour has cleared what there was
            assert again.error_id is not None
            served = await everything(site)
    assert f"/errors/{again.error_id}" in served
    assert {path: leaks(text) for path, text in served.items() if leaks(text)} == {}
