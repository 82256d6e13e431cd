"""The targets, and whether they were met. A missed target does not fail the run, because it depends on the machine."""

import statistics

from .rounds import OPERATIONS

# Parts of pgbench's rate, at numbers of connections that keep the database busy without overloading it.
OF_PGBENCH = {"answer": 0.6, "bind": 0.5, "read": 0.4, "challenge": 0.6, "approve": 0.65}
BUSY = range(16, 65)

# Parts of the rate with the smallest database. Bindings are left out: their persons are new in each database.
OF_SMALLEST = {"read": 0.85, "answer": 0.85}

# The noise between rounds: a rate above this part counts as no slower.
NO_SLOWER = 0.95

OF_AWS_LC, OF_RAW_SQLITE = 1.2, 0.5
# Of log-ins with many challenges in the table, to log-ins with few.
OF_FEW_CHALLENGES = 0.9

# Processor time of the service for a log-in.
LOG_IN_US = 160

MEMORY_MIB, BOOT_MS = 64, 200


def table(found):
    lines = ["| what | target | found | met |", "| --- | --- | --- | --- |"]
    rows = [*beside_pgbench(found), *by_size(found), *log_ins(found), *two_replicas(found), *single_figures(found)]
    for what, target, value, met in rows:
        lines.append(f"| {what} | {target} | {value} | {'yes' if met else 'no'} |")
    return lines


def beside_pgbench(found):
    """The worst number of connections counts, so that the choice of `--connections` cannot improve the result."""
    every = found["sizes"][0]["levels"]
    levels = [level for level in every if level["connections"] in BUSY] or every
    connections = span([level["connections"] for level in levels], "d")
    for operation, least in OF_PGBENCH.items():
        ratios = [level[operation]["ratio"] for level in levels]
        what = f"{OPERATIONS[operation]} / pgbench, {connections} connections"
        yield what, f">= {least}", span(ratios, ".2f"), min(ratios) >= least


def by_size(found):
    """The largest database beside the smallest, if there are two, at the same numbers of connections."""
    smallest, largest = found["sizes"][0], found["sizes"][-1]
    if smallest is largest:
        return
    pairs = list(zip(smallest["levels"], largest["levels"], strict=True))
    for operation, least in OF_SMALLEST.items():
        ratio = statistics.median(large[operation]["rate"] / small[operation]["rate"] for small, large in pairs)
        what = f"{OPERATIONS[operation]}, {largest['devices']:,} devices / {smallest['devices']:,}"
        yield what, f">= {least}", f"{ratio:.2f}", ratio >= least


def log_ins(found):
    many = found["many"]
    ratio = many["many"]["log_in"]["rate"] / many["few"]["log_in"]["rate"]
    what = f"log in with {many['challenges']:,} more challenges / at the start"
    yield what, f">= {OF_FEW_CHALLENGES}", f"{ratio:.2f}", ratio >= OF_FEW_CHALLENGES
    spent = many["few"]["log_in"]["service_cpu_us"]
    yield "processor time of the service for a log-in", f"<= {LOG_IN_US} us", f"{spent:.0f} us", spent <= LOG_IN_US


def two_replicas(found):
    one, two = found["replicas"]["one"], found["replicas"]["two"]
    for operation, name in OPERATIONS.items():
        ratio = two[operation]["rate"] / one[operation]["rate"]
        yield f"{name}, two replicas / one", f"no slower (>= {NO_SLOWER})", f"{ratio:.2f}", ratio >= NO_SLOWER


def single_figures(found):
    check, sqlite, boot = found["check"]["ratio"], found["sqlite"]["answer"]["ratio"], found["boot_ms"]
    top = max(found["sizes"][-1]["levels"], key=lambda level: level["connections"])
    memory = top["memory_mib"]
    yield "signature check / AWS-LC alone", f"<= {OF_AWS_LC}", f"{check:.2f}", check <= OF_AWS_LC
    what = "PUT the signature / statements alone, SQLite"
    yield what, f">= {OF_RAW_SQLITE}", f"{sqlite:.2f}", sqlite >= OF_RAW_SQLITE
    whole = found["whole"]["sandbox"]["ratio"]
    what = "whole binding, sandbox / sandbox with its file in memory, SQLite"
    yield what, f"no slower (>= {NO_SLOWER})", f"{whole:.2f}", whole >= NO_SLOWER
    what = f"resident memory, {top['connections']} connections"
    yield what, f"<= {MEMORY_MIB} MiB", f"{memory:.0f} MiB", memory <= MEMORY_MIB
    yield "start to ready", f"<= {BOOT_MS} ms", f"{boot:.0f} ms", boot <= BOOT_MS


def span(values, form):
    """The smallest and the largest value, or the only one."""
    least, most = format(min(values), form), format(max(values), form)
    return least if least == most else f"{least} to {most}"
