"""A test that cannot fail proves nothing: each guard is taken out of a copy of the source, and its test must notice."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
COPIED = ("socbot", "middleware", "handlers", "tests", "examples", "config.yaml", "pyproject.toml")
PLUGINS = ("-p", "no:cacheprovider", "-p", "anyio", "-p", "_hypothesis_pytestplugin")  # to load all takes two seconds


class Mutation(NamedTuple):
    """What is changed in one file, and the test that proves the promise and must fail then."""

    promise: str
    what: str
    file: str
    line: str
    becomes: str
    test: str


MUTATIONS = (
    Mutation(
        "P01", "whoever is not the owner is let through",
        "socbot/dispatch/dispatcher.py", 'raise NotPermitted("the owner")', "return",
        "tests/dispatch/test_dispatcher.py::test_only_who_may_reaches_a_handler",
    ),
    Mutation(
        "P02", "the answer comes before the commit",
        "socbot/storage/lane.py", "        session.commit()\n", "        _answer(pending)\n        session.commit()\n",
        "tests/storage/test_crash.py::test_every_acknowledgement_follows_a_write_to_the_disk",
    ),
    Mutation(
        "P03", "a commit is not synced",
        "socbot/storage/sqlite.py", 'run("PRAGMA synchronous = FULL")', 'run("PRAGMA synchronous = NORMAL")',
        "tests/storage/test_crash.py::test_every_acknowledgement_follows_a_write_to_the_disk",
    ),
    Mutation(
        "P06", "the manifest's own hash is not looked at",
        "socbot/systems/backup/manifest.py",
        "if not hmac.compare_digest(digest.digest(), trailer[:32]):", "if False:",
        "tests/systems/backup/test_archive_damage.py::test_no_flipped_bit_goes_unnoticed",
    ),
    Mutation(
        "P06", "a file's hash is not looked at",
        "socbot/systems/backup/unpacking.py", "if digest.hexdigest() != file.sha256:", "if False:",
        "tests/systems/backup/test_archive_damage.py::test_every_faulty_file_is_named",
    ),
    Mutation(
        "P08", "a name in an archive may lead out of its folder",
        "socbot/systems/backup/manifest.py", "if problem := _problem(name):", 'if problem := "":',
        "tests/systems/backup/test_archive_hostile.py::test_nothing_of_a_hostile_archive_is_left_anywhere",
    ),
    Mutation(
        "P09", "the last good backup is a backup like any other",
        "socbot/systems/backup/retention.py", "    for text, wanted in _LAST_GOOD:", "    for text, wanted in ():",
        "tests/systems/backup/test_retention.py::test_no_timeline_loses_the_last_good_backup_or_history",
    ),
    Mutation(
        "P11", "known secrets are not looked for",
        "socbot/redaction.py", "        if form in joined:", "        if False:",
        "tests/test_canary.py::test_a_known_secret_is_taken_out_in_each_form",
    ),
    Mutation(
        "P12", "the addresses of a name are not looked at",
        "socbot/egress/connections.py", "return self._policy.admitted(self._origin, found)", "return list(found)",
        "tests/egress/test_client.py::test_an_address_that_was_checked_is_the_one_that_is_dialled",
    ),
    Mutation(
        "P12", "an address that is written out is not looked at",
        "socbot/egress/policy.py", "            self.check_address(origin, literal)", "            pass",
        "tests/egress/test_policy.py::test_an_address_that_leads_inside_or_can_be_misread_is_refused",
    ),
    Mutation(
        "P13", "a redirect is followed",
        "socbot/egress/client.py", "        return response.status_code, _wanted(response.headers), content, whole\n",
        "        if response.is_redirect:\n"
        '            elsewhere = self._check(response.headers["location"], "")\n'
        '            return await self._exchange(transport, "GET", elsewhere, b"", headers, limit)\n'
        "        return response.status_code, _wanted(response.headers), content, whole\n",
        "tests/egress/test_client.py::test_no_redirect_is_followed",
    ),
    Mutation(
        "P13", "an answer is read to its end",
        "socbot/egress/client.py", "content, whole = await read(response, limit)",
        "content, whole = await read(response, 1 << 40)",
        "tests/egress/test_client.py::test_a_receiver_cannot_flood_or_stall",
    ),
    Mutation(
        "P17", "anybody may answer a question",
        "socbot/dispatch/confirmations.py", "if not pending.is_for(message, identity):", "if False:",
        "tests/dispatch/test_confirmations.py::test_nobody_and_nowhere_else_can_answer",
    ),
    Mutation(
        "P17", "a question may be answered again",
        "socbot/dispatch/confirmations.py", "        del self._open[token]\n        return pending",
        "        return pending",
        "tests/dispatch/test_confirmations.py::test_of_100_answers_at_once_exactly_one_wins",
    ),
    Mutation(
        "P18", "others may read the log",
        "socbot/logs/files.py", "os.fchmod(descriptor, 0o600)", "os.fchmod(descriptor, 0o644)",
        "tests/test_logs.py::test_log_files_are_private_whatever_the_umask",
    ),
    Mutation(
        "P18", "others may read the store",
        "socbot/storage/sqlite_file.py", "O_RDWR, 0o600))\n    path.chmod(0o600)", "O_RDWR, 0o666))",
        "tests/storage/test_sqlite_file.py::test_whatever_the_umask_nobody_else_may_read_the_store",
    ),
    Mutation(
        "P20", "a damaged store is opened",
        "socbot/storage/sqlite_file.py", '    if verdict != "ok":', "    if False:",
        "tests/storage/test_sqlite_file.py::test_a_damaged_store_is_refused_and_left_as_it_is",
    ),
    Mutation(
        "P20", "an empty store is made in the place of one that is lost",
        "socbot/storage/sqlite_file.py", "        elif created or (", "        elif False and (",
        "tests/storage/test_sqlite_file.py::test_a_damaged_store_is_refused_and_left_as_it_is",
    ),
    Mutation(
        "P21", "an older store on PostgreSQL is upgraded whatever became of its backup",
        "socbot/systems/backup/upgrading.py", "refuse_damaged(read_all(", "(read_all(",
        "tests/systems/backup/test_upgrading.py::test_a_backup_that_is_not_what_was_packed_is_none",
    ),
    Mutation(
        "P22", "cells may begin a formula",
        "socbot/systems/exports.py", """return _UNSAFE.sub("'", text)""", "return text",
        "tests/systems/test_exports.py::test_no_cell_begins_a_formula",
    ),
    Mutation(
        "P23", "nobody is listed",
        "middleware/blacklist.py", "kind = blacklist.listed(ctx.identity, ctx.message.guild)", "kind = None",
        "tests/middleware/test_blacklist.py::test_a_listed_user_triggers_nothing",
    ),
    Mutation(
        "P24", "without a blacklist everybody is let in",
        "middleware/blacklist.py", "return BlacklistUnavailable()", "return None",
        "tests/middleware/test_blacklist.py::test_while_the_blacklist_cannot_be_read_nobody_but_the_owner_is_let_in",
    ),
    Mutation(
        "P24", "a guard that breaks lets pass",
        "socbot/dispatch/chain.py", '    "guard": _guard,', '    "guard": _observer,',
        "tests/dispatch/test_chain.py::test_a_guard_that_breaks_refuses",
    ),
    Mutation(
        "P25", "the rest of the chain may be run twice",
        "socbot/dispatch/chain.py", "        if self.rest is not None:", "        if False:",
        "tests/dispatch/test_chain.py::test_calling_twice_is_an_error_that_names_the_middleware",
    ),
    Mutation(
        "P29", "an address that is written out is not looked at, which fuzzing finds",
        "socbot/egress/policy.py", "            self.check_address(origin, literal)", "            pass",
        "tests/fuzz/test_fuzz.py::test_no_input_breaks_a_reader[addresses]",
    ),
    Mutation(
        "P30", "documents may be as deep as they like",
        "socbot/documents.py", "if self._depth > MAX_DEPTH:", "if False:",
        "tests/test_config.py::test_a_broken_file_is_refused_with_its_line",
    ),
    Mutation(
        "P31", "the limiter admits twice the burst",
        "socbot/systems/rate_limit/quota.py", "if excess <= TOLERANCE:", "if excess <= window:",
        "tests/systems/test_rate_limit_limiter.py::test_the_limiter_never_admits_too_much_nor_starves",
    ),
    Mutation(
        "P36", "what the bot sends may notify anybody",
        "socbot/transports/discord/client.py", "allowed_mentions=discord.AllowedMentions.none(),",
        "allowed_mentions=discord.AllowedMentions.all(),",
        "tests/transports/discord/test_tour.py::test_nothing_of_anybodys_text_is_live_in_what_is_sent",
    ),
    Mutation(
        "P36", "what a webhook sends may notify anybody",
        "socbot/systems/webhooks/payloads.py", "allowed_mentions: Mentions = Mentions()",
        'allowed_mentions: Mentions = Mentions(("everyone",))',
        "tests/systems/webhooks/test_payloads.py::test_nothing_acts_on_discord",
    ),
    Mutation(
        "P37", "a line of the log may hold the end of a line",
        "socbot/logs/lines.py", 'if event.exception else text, keep="")', 'if event.exception else text, keep="\\n")',
        "tests/test_logs.py::test_an_event_is_one_line_of_text_whatever_it_holds",
    ),
    Mutation(
        "P37", "a fact in a line of the log may pass for another",
        "socbot/logs/lines.py", "json.dumps(text, ensure_ascii=False)", "text",
        "tests/logs/test_events.py::test_a_line_is_one_record_whatever_names_and_facts_hold",
    ),
    Mutation(
        "P38", "the dashboard answers under any name",
        "socbot/web/gate.py", "if len(named) == 1 and not absolute and hosts.is_known(named[0], config):", "if True:",
        "tests/web/test_gate.py::test_it_answers_under_its_own_names_alone",
    ),
    Mutation(
        "P38", "a page of another site may act",
        "socbot/web/gate.py", "if given is None or not _is_same(given, session.csrf):", "if False:",
        "tests/web/test_gate.py::test_the_csrf_token_of_one_session_is_no_use_in_another",
    ),
    Mutation(
        "P39", "the time is no part of what is signed",
        "socbot/systems/webhooks/signing.py", 'content = f"{id}.{stamp}.".encode() + body',
        'content = f"{id}.".encode() + body',
        "tests/systems/webhooks/test_signing.py::test_a_thousand_are_verified_and_none_with_one_bit_changed",
    ),
    Mutation(
        "P54", "a record need not be as it was written",
        "socbot/systems/audit.py", "if record.hash != _hash(record):", "if False:",
        "tests/systems/test_audit.py::test_a_record_that_was_changed_or_removed_is_named",
    ),
    Mutation(
        "P54", "records need not be chained",
        "socbot/systems/audit.py", "if record.previous != last.hash:", "if False:",
        "tests/systems/test_audit.py::test_a_record_that_was_replaced_with_its_hash_is_named",
    ),
    Mutation(
        "P55", "a connection that was lost is known to what was begun on it",
        "socbot/transports/discord/connection.py", "half_made.clear()", "pass",
        "tests/transports/discord/test_connection.py"
        "::test_of_lost_connections_nothing_stays_whatever_was_begun_on_them",
    ),
)  # fmt: skip


def copied(to: Path) -> Path:
    to.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, symlinks=True)
        else:
            shutil.copy2(source, to / name)
    return to


def mutate(copy: Path, mutation: Mutation) -> None:
    path = copy / mutation.file
    text = path.read_text("utf-8")
    found = text.count(mutation.line)
    assert found == 1, (
        f"{mutation.file} has {mutation.line!r} {found} times: say anew where the guard of {mutation.what!r} is"
    )
    path.write_text(text.replace(mutation.line, mutation.becomes), "utf-8")


def outcome_of(copy: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run tests on the copy; the exit code of pytest, and what it printed."""
    options = ["-q", "-x", "--tb=short", "-m", "slow or not slow", *PLUGINS]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", *options, *tests]
    ran = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ran.returncode, ran.stdout.decode(errors="replace")


def problem_with(mutation: Mutation, copy: Path) -> str:
    """Why the mutation was not noticed as it should be; nothing if it was."""
    mutate(copied(copy), mutation)
    code, told = outcome_of(copy, [mutation.test])
    shutil.rmtree(copy)
    noticed = code == 1 and re.search(r"^\d+ failed", told, re.MULTILINE)  # 2 and 4: nothing was run
    by_assertion = re.search(r"^(E| +\|) +(AssertionError|assert |Failed: )", told, re.MULTILINE)
    if noticed and by_assertion:
        return ""
    return f"{mutation.promise}, {mutation.what}: {mutation.test} ended with {code}\n{told[-2_000:]}"


@pytest.mark.slow
def test_each_guard_that_is_taken_away_is_missed(tmp_path: Path) -> None:
    tests = dict.fromkeys(mutation.test for mutation in MUTATIONS)
    with ThreadPoolExecutor(2) as processes:
        whole = processes.submit(outcome_of, copied(tmp_path / "whole"), tests)
        problems = [*processes.map(problem_with, MUTATIONS, (tmp_path / str(n) for n in range(len(MUTATIONS))))]
    code, told = whole.result()
    assert code == 0, f"the tests are red where nothing was changed\n{told[-4_000:]}"
    assert not any(problems), "\n\n".join(filter(None, problems))
