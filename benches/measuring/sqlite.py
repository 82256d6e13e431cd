"""SQLite: the service on a file, and its limit, the same statements without the service."""

import datetime
import os
import pathlib
import sqlite3
import tempfile
import time

from . import people
from .service import SANDBOX, SANDBOX_CODE

# The pause of a person after too many failures.
HALF_AN_HOUR = datetime.timedelta(minutes=30)

# A file system in memory.
MEMORY = pathlib.Path("/dev/shm")

# The last parameters of an audit event: a country, and the four of an answer to a device challenge.
NO_COUNTRY_AND_NO_EVIDENCE = [None] * 5


def measure(bench, connections):
    """PUT the signature, in rounds: by the service, then by its statements alone."""
    statements = bench.load.order("statements")["sqlite"]
    file = bench.folder / "service.db"
    rounds = []
    for _ in range(bench.options.rounds):
        service = bench.service(f"sqlite://{file}")
        most = int(bench.options.seconds * 3_000)
        by_service = bench.fresh_people(2 * most)
        by_statements = by_service + most
        numbers(file, by_service, 2 * most)
        bench.ask("bind", [service], connections, bench.options.seconds, first=by_service, at_most=most)
        figures = bench.ask("answer", [service], connections, bench.options.seconds)
        # The challenges of these bindings are left open for the statements.
        bench.ask("bind", [service], connections, bench.options.seconds, first=by_statements, at_most=most)
        service.stop()
        figures["limit"] = limit(file, statements, by_statements, most, bench.options.seconds)
        rounds.append({"answer": figures | {"ratio": figures["rate"] / figures["limit"]}})
    return rounds


def whole(bench):
    """Whole bindings on one connection, as a test suite sends them: with the settings of production, as a sandbox, and
    as a sandbox that stores nothing durably, since its file is in memory. In rounds, the three alternating."""
    rounds = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY if MEMORY.is_dir() else None) as memory:
        for turn in range(bench.options.rounds):
            on_disk = {name: bench.folder / f"{name}-{turn}.db" for name in ("production", "sandbox")}
            files = on_disk | {"memory": pathlib.Path(memory) / f"{turn}.db"}
            rounds.append({name: whole_on(bench, file, name == "production") for name, file in files.items()})
    for figures in rounds:
        for name in figures:
            figures[name]["ratio"] = figures[name]["rate"] / figures["memory"]["rate"]
    return rounds


def whole_on(bench, file, is_production):
    most = min(int(bench.options.seconds * 2_000), 9_995)
    usual = {} if is_production else {"usual": SANDBOX}
    code = None if is_production else SANDBOX_CODE
    service = bench.service(f"sqlite://{file}", **usual)
    order = {"first": ordinary_numbers(bench, most), "at_most": most, "code": code}
    figures = bench.ask("whole", [service], 1, bench.options.seconds, **order)
    service.stop()
    return figures


def ordinary_numbers(bench, count):
    """The first of this many unused numbers, at most 9,995. None ends in 0001 to 0005, where the sandbox's SMS fail."""
    first = bench.fresh_people(count + 10_000)
    return first + (6 - first) % 10_000


def numbers(file, first, count):
    """Inserts persons who have a verified number and nothing else."""
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


def limit(file, statements, first, most, seconds):
    """The rate at which the statements alone accept answers to open challenges, with one durable commit each."""
    find, accept, insert_device, insert_key, insert_event = statements
    database = connect(file)
    wanted = (
        "select partner_id, person_id, binding_id, binding_key_id from person"
        " where partner_id = ? and person_id = ? and binding_closed_at is null"
    )
    persons = ((people.partner(n), people.person(n)) for n in range(first, first + most))
    found = (database.execute(wanted, person).fetchone() for person in persons)
    opened = [row for row in found if row]
    before = database.execute("select count(*) from device").fetchone()[0]
    accepted, started = 0, time.monotonic()
    for partner, person, challenge, key in opened:
        if time.monotonic() - started > seconds:
            break
        now = instant()
        database.execute(find, named(challenge, partner)).fetchone()
        salt, digest = os.urandom(16), os.urandom(32)
        event = (partner, os.urandom(16), "a-client", "binding_answered", "accepted", person, salt, digest)
        pause = instant(-HALF_AN_HOUR), instant(HALF_AN_HOUR)
        database.execute("begin immediate")
        database.execute(accept, named(partner, person, challenge, now, 3, 5, 5, *pause)).fetchall()
        database.execute(insert_device, named(partner, person, now, os.urandom(32)))
        database.execute(insert_key, named(partner, person, now))
        database.execute(insert_event, named(*event, challenge, key, now, *NO_COUNTRY_AND_NO_EVIDENCE))
        database.execute("commit")
        accepted += 1
    took = time.monotonic() - started
    bound = database.execute("select count(*) from device").fetchone()[0] - before
    if not accepted or bound != accepted:
        raise SystemExit(f"error: the statements accepted {accepted} answers, but {bound} devices were bound")
    return accepted / took


def connect(file):
    """A connection with the settings of the service (src/store/connect/mod.rs)."""
    database = sqlite3.connect(file, isolation_level=None)
    for setting in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
        database.execute(f"pragma {setting}")
    return database


def named(*values):
    """The parameters by name: `$1`, `$2` ... are named parameters in SQLite."""
    return {str(place): value for place, value in enumerate(values, 1)}


def instant(later=datetime.timedelta()):
    """An instant in the service's format."""
    return (datetime.datetime.now(datetime.UTC) + later).isoformat(timespec="microseconds")
