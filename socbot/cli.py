"""The command line: read arguments, load the configuration, run."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from socbot.exit_codes import (
    EXIT_CONFIGURATION,
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_RESTART,
    EXIT_TRY_AGAIN,
    EXIT_USAGE,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from socbot.config import Loaded

_EXIT_CODES = {
    "ok": EXIT_OK,
    "failed": EXIT_FAILURE,
    "invalid": EXIT_USAGE,
    "unknown": EXIT_USAGE,
    "ignored": EXIT_USAGE,
    "refused": EXIT_REFUSED,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``socbot`` with ``argv``; the exit code."""
    arguments = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    from socbot.documents import ConfigError
    from socbot.storage.errors import StoreBusy, StoreDamaged, StoreError, StoreLocked, StoreUnreachable

    try:
        code: int = arguments.run(arguments)
    except ConfigError as error:
        return _complain(str(error), EXIT_CONFIGURATION)
    except (StoreBusy, StoreLocked, StoreUnreachable) as error:
        return _complain(str(error), EXIT_TRY_AGAIN)
    except StoreDamaged as error:
        return _complain(f"{error}{_way_out(arguments)}", EXIT_FAILURE)
    except StoreError as error:
        return _complain(str(error), EXIT_FAILURE)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_OK
    return code


def _way_out(arguments: "Namespace") -> str:
    """Which backup is there for a store that is damaged."""
    from socbot.backing_up import latest_intact
    from socbot.documents import ConfigError

    try:
        name = latest_intact(_load(arguments))
    except ConfigError:
        return ""
    if name is None:
        return "\nThere is no backup in backup.folder that is intact."
    return f"\nThe latest backup that is intact is {name}: `socbot backup restore {name}`"


def _complain(text: str, code: int) -> int:
    from socbot.dispatch.replies import printable
    from socbot.redaction import redact

    print(f"socbot: {printable(redact(text))}", file=sys.stderr)
    return code


def _parser() -> "ArgumentParser":
    import argparse

    parser = argparse.ArgumentParser(prog="socbot", description="The operations layer for chat bots.")
    parser.set_defaults(run=_run, config=None, transport="auto")
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(name: str, run: Any, text: str) -> "ArgumentParser":
        made: ArgumentParser = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("--config", metavar="FILE", help="config.yaml unless given (or $SOCBOT_CONFIG)")
        return made

    run = add("run", _run, "Run the bot: on the console, unless there is a DISCORD_TOKEN.")
    run.add_argument("--transport", choices=("auto", "discord", "console"), default="auto")
    execute = add("exec", _exec, "Run one command through the whole chain; the exit code is its outcome.")
    execute.add_argument("command", help="such as '!health'")
    execute.add_argument("--as", dest="user", metavar="ID", help="speak as user ID, a stranger; the owner otherwise")
    execute.add_argument("--guild", metavar="ID", default="console", help="speak in guild ID; '' is a direct message")
    execute.add_argument("--json", action="store_true", help="print one JSON object")
    execute.add_argument("--yes", action="store_true", help="confirm what would be asked")
    check = add("check", _check, "Check the configuration: the chain, the jobs, the warnings.")
    check.add_argument("--json", action="store_true")
    listing = add("commands", _commands, "List every command.")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--markdown", action="store_true")
    add("schema", _schema, "Print the JSON Schema of config.yaml, for editors.")
    invite = add("invite", _invite, "Print the link that adds the bot to a Discord guild, and what each right is for.")
    invite.add_argument("--application", metavar="ID", help="the application's id; the token tells it otherwise")
    importing = add("import", _import, "Take over the older bot's folder; shows what would be done, and asks.")
    importing.add_argument("folder", metavar="DIR", help="the older bot's folder, with its data/*.json")
    importing.add_argument("--zone", default="America/Los_Angeles", help="of times that carry none (%(default)s)")
    importing.add_argument("--yes", action="store_true", help="do it without asking")
    importing.add_argument("--json", action="store_true")
    trail = add("audit", _audit, "The audit trail: list what was done, or verify that nobody has changed it.")
    trail.add_argument("what", choices=("list", "verify"))
    trail.add_argument("--count", type=int, default=50, metavar="N", help="records listed, newest (50)")
    trail.add_argument("--before", type=int, metavar="ID", help="list those before record ID")
    trail.add_argument("--hash", default="", metavar="HASH", help="verify that the record with HASH is among them")
    trail.add_argument("--json", action="store_true")
    backup = add("backup", _backup, "Make, list, verify, restore and prune backups, also while the bot is down.")
    backup.add_argument("action", choices=("now", "list", "verify", "restore", "undo", "drill", "prune", "fetch"))
    backup.add_argument("what", nargs="?", help="a backup's name, or newest; for now and list a type")
    backup.add_argument("--yes", action="store_true", help="confirm what would be asked")
    backup.add_argument("--unsigned", action="store_true", help="take one without a signature although a key is set")
    backup.add_argument("--dry-run", action="store_true", help="for prune: say what would be deleted, and why")
    demo = add("demo", _demo, "Play some days of a community through a real bot in a scratch folder, and show them.")
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="another seed plays other days (%(default)s)")
    demo.add_argument("--days", type=int, default=7, metavar="N", help="how many, the last in detail (%(default)s)")
    demo.add_argument("--exit", action="store_true", help="end when they are played")
    watch = add("top", _top, "The dashboard's overview in this terminal, live, of a bot that runs here or elsewhere.")
    watch.add_argument("--url", default="", help="where it is served, such as http://127.0.0.1:8787; here unless given")
    watch.add_argument("--token", default="", help="a viewer's or owner's; better in $SOCBOT_TOKEN, unseen by others")
    watch.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two looks (2)")
    watch.add_argument("--once", action="store_true", help="print it once and end")
    watch.add_argument("--json", action="store_true", help="print the facts once, as one JSON object")
    doctor = add("doctor", _doctor, "Look at this installation; say what is wrong and how to mend it.")
    doctor.add_argument("--json", action="store_true")
    return parser


def _load(arguments: "Namespace") -> "Loaded":
    import os

    from socbot.config import load
    from socbot.documents import ConfigError

    given = arguments.config or os.environ.get("SOCBOT_CONFIG")
    path = Path(given or "config.yaml")
    if given and not path.exists():
        raise ConfigError(f"{path}: there is no such file")
    return load(path if path.exists() else None)


def _anyio(function: Any, *arguments: Any) -> int:
    import anyio

    code: int = anyio.run(function, *arguments)
    return code


def _run(arguments: "Namespace") -> int:
    import os
    import signal
    from functools import partial

    # Until the bot itself obeys it; the first process of a container would not be ended by it otherwise.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(EXIT_OK))
    from socbot.running import run

    loaded = _load(arguments)
    transport = arguments.transport
    token = loaded.config.discord.token
    if transport == "discord" and not token:
        return _complain(
            "there is no token for Discord: set DISCORD_TOKEN, or discord.token_file in config.yaml; "
            "`socbot run --transport console` needs none",
            EXIT_CONFIGURATION,
        )
    on_discord = transport == "discord" or (transport == "auto" and bool(token))
    code = _anyio(partial(run, on_discord=on_discord), loaded)
    if code == EXIT_RESTART and "NOTIFY_SOCKET" not in os.environ:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "socbot", *sys.argv[1:]])
    return code


def _exec(arguments: "Namespace") -> int:
    return _anyio(_execute, arguments, _load(arguments))


async def _execute(arguments: "Namespace", loaded: "Loaded") -> int:
    import msgspec

    from socbot.bot import Bot
    from socbot.dispatch.messages import Answer
    from socbot.dispatch.replies import Reply
    from socbot.dispatch.summaries import summary
    from socbot.transports.console import OWNER, PLATFORM, Console, Speaker

    speaker = Speaker(arguments.user or OWNER, arguments.guild or None)
    async with Bot(loaded, owners=[(PLATFORM, OWNER)], jobs=False) as bot:
        console = Console(bot.zone)
        send = None if arguments.json else console.show
        outcome = await bot.dispatch(speaker.says(arguments.command), send=send)
        if outcome.reply and outcome.reply.question and arguments.yes:
            outcome = await bot.dispatch(speaker.says("", Answer(outcome.reply.question.token, True)), send=send)
        stopped = bot.lifecycle.stopping.is_set()
        exit_code = bot.lifecycle.exit_code
    if arguments.json:
        print(msgspec.json.encode(summary(outcome)).decode())
    elif outcome.reply is not None and outcome.reply.question is not None:
        await console.show(Reply(outcome.reply.text, tone="warn"))
        console.write("Nothing was done; --yes confirms.")
    elif outcome.reply is not None:
        await console.show(outcome.reply)
    elif outcome.status == "ignored":
        console.write(f"That is no command; commands begin with {bot.config.bot.prefix}")
    elif outcome.refused_by is not None:
        console.write(
            f"({outcome.status}" + (f" by {outcome.refused_by}: {outcome.reason})" if outcome.refused_by else ")")
        )
    return exit_code if stopped and exit_code else _EXIT_CODES[outcome.status]


def _check(arguments: "Namespace") -> int:
    from socbot.checking import check

    return check(_load(arguments), as_json=arguments.json)


def _commands(arguments: "Namespace") -> int:
    from socbot.checking import list_commands

    return list_commands("json" if arguments.json else "markdown" if arguments.markdown else "text")


def _schema(arguments: "Namespace") -> int:
    import msgspec

    from socbot.config import schema

    print(msgspec.json.format(msgspec.json.encode(schema())).decode())
    return EXIT_OK


def _invite(arguments: "Namespace") -> int:
    from socbot.documents import ConfigError
    from socbot.invite import application_of, described, is_id

    application = arguments.application or application_of(_load(arguments).config.discord.token)
    if application is None or not is_id(application):
        raise ConfigError(
            "whose link? Set DISCORD_TOKEN, or give --application ID: the Application ID under General Information "
            "on https://discord.com/developers/applications"
        )
    print(described(application))
    return EXIT_OK


def _backup(arguments: "Namespace") -> int:
    from socbot.backing_up import Request, run

    request = Request(arguments.action, arguments.what, arguments.yes, arguments.unsigned, arguments.dry_run)
    return _anyio(run, request, _load(arguments))


def _import(arguments: "Namespace") -> int:
    from socbot.importing.command import import_folder

    folder = Path(arguments.folder)
    return import_folder(_load(arguments), folder, arguments.zone, yes=arguments.yes, as_json=arguments.json)


def _audit(arguments: "Namespace") -> int:
    from socbot.trail import list_trail, verify_trail

    loaded = _load(arguments)
    if arguments.what == "verify":
        return verify_trail(loaded, arguments.hash, as_json=arguments.json)
    return list_trail(loaded, max(1, arguments.count), arguments.before, as_json=arguments.json)


def _demo(arguments: "Namespace") -> int:
    from functools import partial

    from socbot.demo.command import demo, options_of

    options = options_of(_load(arguments).config.web, arguments.seed, max(1, min(31, arguments.days)))
    return _anyio(partial(demo, options, stays=not arguments.exit))


def _top(arguments: "Namespace") -> int:
    import os

    from socbot.top import top

    return top(
        _load(arguments).config,
        url=arguments.url,
        token=arguments.token or os.environ.get("SOCBOT_TOKEN", ""),
        once=arguments.once,
        as_json=arguments.json,
        interval=arguments.interval,
    )


def _doctor(arguments: "Namespace") -> int:
    import os

    from socbot.doctor import examine

    given = arguments.config or os.environ.get("SOCBOT_CONFIG")
    path = Path(given or "config.yaml")
    code: int = examine(path if given or path.exists() else None, as_json=arguments.json)
    return code


def run_and_exit() -> NoReturn:
    """The ``socbot`` command."""
    sys.exit(main())
