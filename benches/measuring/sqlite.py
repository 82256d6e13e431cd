"""The embedded database: the service on a file, and the same statements on it by themselves."""

import datetime
import os
import pathlib
import re
import sqlite3
import time

from . import people

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src" / "store"

# A parameter that is a kept answer's or a fraud check's: the requests that are measured have neither.
NOTHING = None

# How long a person pauses after too many failures.
HALF_AN_HOUR = datetime.timedelta(minutes=30)


def measure(bench, connections):
    """PUT the signature, with the service and by itself, round after round."""
    file = bench.folder / "service.db"
    look, accept = statement("challenges/binding.rs", "binding(&self"), statement("sqlite.rs", "accept_binding").split(";")
    rounds = []
    for _ in range(bench.options.rounds):
        service = bench.service(f"sqlite://{file}")
        most = int(bench.options.seconds * 3_000)
        by_service = bench.fresh_people(2 * most)
        by_itself = by_service + most
        numbers(file, by_service, 2 * most)
        bench.ask("bind", [service], connections, bench.options.seconds, first=by_service, at_most=most)
        figures = bench.ask("answer", [service], connections, bench.options.seconds)
        # Phones that get no answer: what they opened is for the statements alone.
        bench.ask("bind", [service], connections, bench.options.seconds, first=by_itself, at_most=most)
        service.stop()
        figures["limit"] = by_themselves(file, look, accept, by_itself, most, bench.options.seconds)
        rounds.append({"answer": figures | {"ratio": figures["rate"] / figures["limit"]}})
    return rounds


def statement(file, function):
    """The SQL of a function, from the source: what is measured is what is shipped."""
    text = (SOURCE / file).read_text()
    # What both engines share is in `binding_outcomes` and `failures`; an engine's own wins.
    known = "".join((SOURCE / shared).read_text() for shared in ("challenges/binding_outcomes.rs", "persons/failures.rs")) + text
    macros = {name: (PARAMETER.findall(parameters), body) for name, parameters, body in MACRO.findall(known)}
    body = re.split(r"\n(?:    )?}\n", text[text.rindex(f"fn {function}"):])[0]
    start = re.search(r'(?:sqlx::query|concat!)\(\s*(?=")', body)
    if not start:
        raise SystemExit(f"error: no statement in `{function}` of {file}")
    parts = re.match(rf"(?:\s*(?:{PART.pattern})\s*,?)*", body[start.end():])[0]
    return written_out(parts, macros, {})


MACRO = re.compile(r"macro_rules! (\w+) \{\n    \((.*?)\) => \{\n(.*?)\n    \};?\n\}", re.DOTALL)
PARAMETER = re.compile(r"\$(\w+):literal")
# A literal, another macro with literals as arguments, or a parameter of the macro itself.
PART = re.compile(r'"([^"]*)"|(?:\$crate::[\w:]+::)?(\w+)!\(([^()]*)\)|\$(\w+)')


def written_out(parts, macros, arguments):
    """The text that parts come to, with macros in place of their names."""
    text = ""
    for literal, macro, given, parameter in PART.findall(parts):
        if macro:
            parameters, body = macros[macro]
            text += written_out(body, macros, dict(zip(parameters, re.findall(r'"([^"]*)"', given))))
        else:
            text += arguments[parameter] if parameter else literal
    return text


def numbers(file, first, count):
    """Persons who have a verified number and nothing else."""
    now = instant()
    rows = (
        (people.partner(n), people.person(n), n.to_bytes(16, "big"), people.mobile_number(n), now, now)
        for n in range(first, first + count)
    )
    with connect(file) as database:
        database.execute("begin immediate")
        database.executemany(
            "insert into mobile_number (partner_id, person_id, number_id, number, created_at, verified_at)"
            " values (?, ?, ?, ?, ?, ?)",
            rows,
        )
        database.execute("commit")


def by_themselves(file, look, accept, first, most, seconds):
    """How many open challenges the statements alone meet in a second, one durable commit each."""
    database = connect(file)
    wanted = "select binding_id, binding_key_id from person where partner_id = ? and person_id = ? and binding_closed_at is null"
    opened = []
    for n in range(first, first + most):
        if row := database.execute(wanted, (people.partner(n), people.person(n))).fetchone():
            opened.append((people.partner(n), people.person(n), *row))
    before = database.execute("select count(*) from device").fetchone()[0]
    met, started = 0, time.monotonic()
    for partner, person, challenge, key in opened:
        if time.monotonic() - started > seconds:
            break
        now = instant()
        database.execute(look, named(challenge, partner)).fetchone()
        event = (partner, os.urandom(16), "a-client", "binding_answered", "accepted", person, os.urandom(16), os.urandom(32))
        record = (*event, challenge, key, now, *[NOTHING] * 12)
        pause = instant(-HALF_AN_HOUR), instant(HALF_AN_HOUR)
        values = named(*record, person, challenge, now, 3, 5, os.urandom(32), 5, *pause)
        for part in accept:
            database.execute(part, values).fetchall()
        met += 1
    took = time.monotonic() - started
    bound = database.execute("select count(*) from device").fetchone()[0] - before
    if not met or bound != met:
        raise SystemExit(f"error: the statements met {met} challenges, and {bound} devices were bound")
    return met / took


def connect(file):
    """With the settings of the service (src/store/connect/mod.rs)."""
    database = sqlite3.connect(file, isolation_level=None)
    for setting in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
        database.execute(f"pragma {setting}")
    return database


def named(*values):
    """`$1`, `$2` ... are names to SQLite."""
    return {str(place): value for place, value in enumerate(values, 1)}


def instant(later=datetime.timedelta()):
    """As the service writes one."""
    return (datetime.datetime.now(datetime.timezone.utc) + later).isoformat(timespec="microseconds")
