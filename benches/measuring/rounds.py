"""The measurements, in rounds: the service, then the database alone with the same statements."""

import statistics

from . import people, programs, sqlite
from .service import Service
from .statements import Walk
from .wire import Wire

# The first number of the persons without a device: each request that creates something uses a new one.
FRESH = 50_000_000

# An upper bound on requests per second: the persons for them are prepared.
MOST_A_SECOND = 15_000

BINDINGS = {"bind": "POST a binding", "answer": "PUT the signature", "read": "GET a device"}
LOG_INS = {
    "challenge": "POST a device challenge",
    "see": "GET a device challenge",
    "approve": "PUT a device challenge",
    "log_in": "log in (POST and PUT a device challenge)",
}
OPERATIONS = BINDINGS | LOG_INS


class Bench:
    def __init__(self, folder, postgres, load, executable, options):
        self.folder, self.postgres, self.load = folder, postgres, load
        self.executable, self.options = executable, options
        self.fresh = FRESH
        self.tokens, self.scripts = self._listen()

    def run(self):
        seconds, found = self.options.seconds, {}
        found["check"] = self.load.order("check", seconds=seconds)
        found["sizes"], already, empty = [], 0, self._disk()
        for devices in self.options.devices:
            people.fill(self.postgres, devices, already)
            already = devices
            disk = self._disk() - empty
            found["sizes"].append({"devices": devices, "disk_bytes": disk, "levels": self._size(devices)})
        found["replicas"] = self._replicas(already)
        connections = self._connections(32)
        found["many"] = self._many_challenges()
        found["sqlite"] = {"connections": connections} | medians(sqlite.measure(self, connections))
        found["whole"] = medians(sqlite.whole(self))
        boots = [self._briefly() for _ in range(5 if not self.options.short else 1)]
        found["boot_ms"] = statistics.median(boots)
        return found

    def compare(self, other):
        """The service of another commit and this one, alternating, each with its own database in the same Postgres."""
        devices, connections = self.options.devices[0], self._connections(32)
        own, sides = self.postgres, {}
        for name, executable in {"before": other, "after": self.executable}.items():
            postgres = own.create_database(name)
            service = self.service(postgres.url(), executable)
            people.fill(postgres, devices)
            sides[name] = (service, postgres, [])
        log_ins = all(service.has_device_challenges() for service, _, _ in sides.values())
        for turn in range(self.options.rounds + 1):
            for service, self.postgres, rounds in sides.values():
                figures = self._round([service], connections, devices, beside=False, log_ins=log_ins)
                # The first turn warms the caches and is followed by `analyze`.
                rounds.append(figures) if turn else self.postgres.ask("vacuum analyze; checkpoint;")
        self.postgres, found = own, {"connections": connections}
        for name, (service, _, rounds) in sides.items():
            memory = programs.resident_mebibytes(service.process.pid)[0]
            found[name] = medians(rounds) | {"memory_mib": memory, "boot_ms": service.boot_ms}
            service.stop()
        found["ratios"] = {
            operation: statistics.median(
                after[operation]["rate"] / before[operation]["rate"]
                for before, after in zip(sides["before"][2], sides["after"][2], strict=True)
            )
            for operation in (OPERATIONS if log_ins else BINDINGS)
        }
        return found

    def service(self, database_url=None, executable=None, **settings):
        url = database_url or self.postgres.url()
        return Service(executable or self.executable, self.folder, url, self.load.gateway, **settings)

    def ask(self, what, services, connections, seconds, **more):
        """Has the load generator send requests, and measures the processor time of each process."""
        parts = {
            "service": [service.process.pid for service in services],
            "postgres": [self.postgres.process.pid],
            "callers": [self.load.process.pid],
        }
        before = {part: sum(map(programs.processor_seconds, pids)) for part, pids in parts.items()}
        addresses = [service.address for service in services]
        terms = {"services": addresses, "tokens": self.tokens, "connections": connections, "seconds": seconds}
        answer = self.load.order(what, terms=terms, **more)
        requests = answer["requests"]
        for part, pids in parts.items():
            spent = sum(map(programs.processor_seconds, pids)) - before[part]
            answer[f"{part}_cpu_us"] = spent / requests * 1e6
        return answer | {"rate": requests / answer["seconds"]}

    def fresh_people(self, count):
        """The first of this many unused numbers."""
        first, self.fresh = self.fresh, self.fresh + count
        return first

    def _disk(self):
        return int(self.postgres.ask("select pg_database_size(current_database())"))

    def _connections(self, at_most):
        """The highest number of connections up to this one, or else the lowest."""
        levels = self.options.connections
        return max((level for level in levels if level <= at_most), default=min(levels))

    def _size(self, devices):
        service = self.service()
        self._warm_up(service, devices)
        levels = []
        for connections in self.options.connections:
            rounds = [self._round([service], connections, devices) for _ in range(self.options.rounds)]
            now, most = programs.resident_mebibytes(service.process.pid)
            levels.append({"connections": connections, "memory_mib": now, "memory_most_mib": most} | medians(rounds))
        service.stop()
        return levels

    def _replicas(self, devices):
        """One replica and two, alternating."""
        connections = self._connections(32)
        services = [self.service(), self.service()]
        both = {1: [], 2: []}
        for _ in range(self.options.rounds):
            for count, rounds in both.items():
                rounds.append(self._round(services[:count], connections, devices, beside=False))
        for service in services:
            service.stop()
        return {"connections": connections, "one": medians(both[1]), "two": medians(both[2])}

    def _many_challenges(self):
        """Log-ins on a small table of challenges, and on one with many challenges that wait for housekeeping."""
        connections, count, rounds = self._connections(32), self.options.challenges, {"few": [], "many": []}
        service = self.service()
        for name, figures in rounds.items():
            at_most = int(self.options.seconds * MOST_A_SECOND)
            for _turn in range(self.options.rounds + 1):
                first = self._people(at_most)
                self.ask("bind", [service], connections, self.options.seconds, first=first, at_most=at_most)
                self.ask("answer", [service], connections, self.options.seconds)
                figures.append({"log_in": self.ask("log_in", [service], connections, self.options.seconds)})
            if name == "few":
                people.challenges(self.postgres, count)
        service.stop()
        # The first turn of each warms the caches.
        few, many = (medians(figures[1:]) for figures in rounds.values())
        return {"connections": connections, "challenges": count, "few": few, "many": many}

    def _round(self, services, connections, devices, beside=True, log_ins=True):
        """Every figure once, each followed by its limit."""
        seconds, figures = self.options.seconds, {}
        figures["nothing"] = self.ask("nothing", services, connections, seconds)
        figures["read"] = self.ask("read", services, connections, seconds, devices=devices)
        at_most = int(seconds * MOST_A_SECOND)
        first = self._people(at_most)
        figures["bind"] = self.ask("bind", services, connections, seconds, first=first, at_most=at_most)
        figures["answer"] = self.ask("answer", services, connections, seconds)
        for operation in LOG_INS if log_ins else ():
            figures[operation] = self.ask(operation, services, connections, seconds)
        if beside:
            for operation, rate in self.limits(connections, devices).items():
                figures[operation]["limit"] = rate
                figures[operation]["ratio"] = figures[operation]["rate"] / rate
        return figures

    def limits(self, connections, devices):
        """The rate of pgbench with the statements of each request."""
        seconds, rates = max(1, round(self.options.seconds)), {}

        def pgbench(operation, number, **terms):
            done, took = self.postgres.pgbench(self.folder, self.scripts[operation](number), connections, **terms)
            rates[operation] = done / took
            return done

        pgbench("read", f"random(1, {devices})", seconds=seconds)
        # Each client of pgbench has its own persons.
        each = seconds * MOST_A_SECOND // connections
        first = self._people(each * connections)
        # The rate limit of a partner has advanced past the time in the recorded statements.
        self.postgres.ask("delete from sms_partner_rate")
        number = f"{first - 1} + :client_id * {each} + :i"
        pgbench("bind", number, seconds=seconds)
        # Only an open challenge can be answered, and every client has opened about as many.
        partner, person = people.partner_sql("m"), people.person_sql("m")
        opened = self.postgres.ask(
            f"""
            select min(opened)
              from (select count(p.person_id) as opened
                      from generate_series(0, {connections - 1}) client
                         , lateral {people.number_sql(first, first + each - 1)}
                         , lateral (select n + client * {each} as m) it
                      left join person p on p.partner_id = {partner} and p.person_id = {person}
                     group by client) clients
            """
        )
        before = self._devices()
        turns = max(1, int(opened))
        answered = pgbench("answer", number, turns=turns)
        if (bound := self._devices() - before) != answered:
            raise SystemExit(f"error: pgbench answered {answered} challenges, but {bound} devices were bound")
        for operation in ("challenge", "see"):
            pgbench(operation, number, turns=turns)
        before = self._open_challenges()
        answered = pgbench("approve", number, turns=turns)
        if (closed := before - self._open_challenges()) != answered:
            raise SystemExit(f"error: pgbench answered {answered} challenges of devices, but {closed} were closed")
        rates["log_in"] = 1 / (1 / rates["challenge"] + 1 / rates["approve"])
        return rates

    def _open_challenges(self):
        return int(self.postgres.ask("select count(*) from device_challenge where closed_at is null"))

    def _devices(self):
        return int(self.postgres.ask("select count(*) from device"))

    def _people(self, count):
        first = self.fresh_people(count)
        people.numbers(self.postgres, first, first + count - 1)
        return first

    def _briefly(self):
        service = self.service()
        service.stop()
        return service.boot_ms

    def _warm_up(self, service, devices):
        """Warms the caches and then runs `analyze`, as autovacuum does once a minute."""
        self._round([service], self.options.connections[-1], devices, beside=False)
        self.postgres.ask("vacuum analyze; checkpoint;")

    def _listen(self):
        """Creates the tables and a client per partner, and records the statements of each request for one person."""
        wire = Wire(self.postgres.port)
        service = self.service(self.postgres.url(wire.port), DATABASE_MAX_CONNECTIONS="1")
        self.tokens = [service.token(people.partner(number)) for number in range(people.PARTNERS)]
        people.fill(self.postgres, 1)
        newcomer = self._people(1)
        orders = {
            "read": (1, {"devices": 1}),
            "bind": (newcomer, {"first": newcomer, "at_most": 1}),
            "answer": (newcomer, {}),
            "challenge": (newcomer, {}),
            "see": (newcomer, {}),
            "approve": (newcomer, {}),
        }
        walks = {number: Walk(number) for number, _ in orders.values()}
        scripts = {}
        for operation, (number, more) in orders.items():
            wire.take()
            self.ask(operation, [service], 1, 0.02, **more)
            heard = walks[number].about(wire.take())
            # The same request may have been sent more than once.
            statements = list({sql: (sql, values) for sql, values in reversed(heard)}.values())[::-1]
            scripts[operation] = lambda at, walk=walks[number], statements=statements: walk.script(statements, at)
        service.stop()
        for table in ("device_challenge", "device_key", "device", "person", "mobile_number"):
            self.postgres.ask(f"delete from {table}")
        return self.tokens, scripts


def medians(rounds):
    """The median of each figure, and the lowest and highest rate."""
    found = {}
    for operation in rounds[0]:
        figures = {name: statistics.median(r[operation][name] for r in rounds) for name in rounds[0][operation]}
        rates = [r[operation]["rate"] for r in rounds]
        found[operation] = figures | {"lowest_rate": min(rates), "highest_rate": max(rates)}
    return found
