"""``socbot demo``: plays, says what there is to see, and lives on until it is ended."""

import os
import signal
import sys
from contextlib import closing
from socket import create_server

import anyio

from socbot.config import WebConfig
from socbot.demo.people import SPAMMERS
from socbot.demo.playing import Demo, Options, playing
from socbot.dispatch.clock import SystemClock
from socbot.exit_codes import EXIT_OK
from socbot.running import ConsoleTransport, have_watched, watchdog_of
from socbot.transports.console import Console
from socbot.web import Web


async def demo(options: Options, *, stays: bool = True) -> int:
    """Play; unless it ``stays``, end then. The exit code."""
    print(f"Playing {_days(options.days)} of a community through a real bot, in a folder of their own …", flush=True)
    clock = SystemClock()
    began = clock.monotonic()
    async with playing(options) as played:
        print(f"Played in {clock.monotonic() - began:.0f} s.", flush=True)
        if stays:
            await _live(played)
        else:
            await _tell_sights(played)
    print("Ended; the folder is removed.", flush=True)
    return EXIT_OK


def a_port(web: WebConfig) -> int:
    """The port of ``web`` if nobody has it, otherwise 0 for any; on this machine alone, whatever its host."""
    try:
        with closing(create_server((WebConfig().host, web.port))):
            return web.port
    except OSError:
        return 0


async def _live(demo: Demo) -> None:
    """Serve the dashboard and the console until somebody ends it."""
    bot = demo.bot
    console = Console(bot.zone)
    bot.on_notice(console.show)
    watchdog = watchdog_of(bot)
    async with watchdog, Web(bot) as web, anyio.create_task_group() as tasks:
        have_watched(bot, watchdog)
        await _tell_sights(demo)
        console.write(await _address(demo, web))
        console.write("Here you are the owner: try !help, !pipeline or !error_dashboard. Ctrl-C ends.")
        tasks.start_soon(_end_by_signal, demo)
        tasks.start_soon(_talk, demo, ConsoleTransport(bot, console))
        tasks.start_soon(demo.go_on)
        await bot.lifecycle.stopping.wait()
        tasks.cancel_scope.cancel()


async def _address(demo: Demo, web: Web) -> str:
    if web.failure:
        return f"The dashboard is not to be seen: {web.failure}"
    token = await demo.bot.access.first_token()
    return f"The dashboard is at {demo.bot.links.base}, its token is {token}"


async def _talk(demo: Demo, transport: ConsoleTransport) -> None:
    await transport.run()
    if sys.stdin.isatty():
        demo.bot.lifecycle.stop()


async def _end_by_signal(demo: Demo) -> None:
    if os.name == "nt":  # event loops take no signals there; Ctrl-C interrupts the program as it always does
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            demo.bot.lifecycle.stop()


async def _tell_sights(demo: Demo) -> None:
    """Say what was played, and where in the dashboard it is found."""
    bot = demo.bot
    groups, backups, webhooks = await bot.errors.groups(), await bot.backups.list(), bot.webhooks.stats().total
    sights = {
        "abuse": f"{' and '.join(SPAMMERS)} were warned, timed out and listed",
        "errors": f"{len(groups)} groups of errors, of which one is resolved",
        "performance": "a ranking that gets slower and slower",
        "webhooks": f"a receiver that was down for two hours: {webhooks.failed} tries failed, {webhooks.dead} given up",
        "health": "a map server that was slow for an hour",
        "backups": f"{len(backups)} backups, and a drill of one of them",
        "signals": "a raid with its timeline, alerts, an exercise",
        "chain": "a middleware on trial, and an order that was changed",
    }
    addresses = [bot.links.to(page) or page for page in sights]
    width = max(map(len, addresses))
    for address, text in zip(addresses, sights.values(), strict=True):
        print(f"  {address.ljust(width)}  {text}", flush=True)


def _days(count: int) -> str:
    return "a day" if count == 1 else f"{count} days"


def options_of(web: WebConfig, seed: int, days: int) -> Options:
    """How it is played, beside what ``web`` says of the dashboard."""
    return Options(seed, days, a_port(web))
