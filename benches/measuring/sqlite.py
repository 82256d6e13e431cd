"""The embedded database: the service on a file, and the same statements on it by themselves."""

import datetime
import os
import pathlib
import re
import sqlite3
import time

from . import people

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src" / "store"

# How long a person pauses after too many failures.
HALF_AN_HOUR = datetime.timedelta(minutes=30)


def measure(bench, connections):
    """PUT the signature, with the service and by itself, round after round."""
    file = bench.folder / "service.db"
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
        figures["limit"] = by_themselves(file, by_itself, most, bench.options.seconds)
        rounds.append({"answer": figures | {"ratio": figures["rate"] / figures["limit"]}})
    return rounds


def statement(file, name):
    """The SQL of a statement, from the source: what is measured is what is shipped."""
    sql = re.search(rf'Statement<DB> for {name}<.*?const SQL: &\'static str =\s*"([^"]*)";', (SOURCE / file).read_text(), re.DOTALL)
    if not sql:
        raise SystemExit(f"error: no statement `{name}` in {file}")
    return sql[1]


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


def by_themselves(file, first, most, seconds):
    """How many open challenges the statements alone meet in a second, one durable commit each."""
    database = connect(file)
    wanted = "select binding_id, binding_key_id from person where partner_id = ? and person_id = ? and binding_closed_at is null"
    opened = []
    for n in range(first, first + most):
        if row := database.execute(wanted, (people.partner(n), people.person(n))).fetchone():
            opened.append((people.partner(n), people.person(n), *row))
    find = statement("challenges/binding.rs", "FindBinding")
    meet = statement("challenges/binding_outcomes.rs", "MeetBinding")
    insert_device = statement("challenges/binding_outcomes.rs", "InsertBoundDevice")
    insert_key = statement("challenges/binding_outcomes.rs", "InsertFirstKey")
    insert_event = statement("audit/events.rs", "InsertEvent")
    before = database.execute("select count(*) from device").fetchone()[0]
    met, started = 0, time.monotonic()
    for partner, person, challenge, key in opened:
        if time.monotonic() - started > seconds:
            break
        now = instant()
        database.execute(find, named(challenge, partner)).fetchone()
        event = (partner, os.urandom(16), "a-client", "binding_answered", "accepted", person, os.urandom(16), os.urandom(32))
        pause = instant(-HALF_AN_HOUR), instant(HALF_AN_HOUR)
        database.execute("begin immediate")
        database.execute(meet, named(partner, person, challenge, now, 3, 5, 5, *pause)).fetchall()
        database.execute(insert_device, named(partner, person, now, os.urandom(32)))
        database.execute(insert_key, named(partner, person, now))
        database.execute(insert_event, named(*event, challenge, key, now, None))
        database.execute("commit")
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
