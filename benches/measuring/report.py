"""The report as Markdown."""

import os
import pathlib
import platform
import subprocess

from . import targets
from .rounds import OPERATIONS

# The cost of a request that does no work: the reference for all others.
NOTHING = "GET nothing: all layers and a token, no database"

WHOLE = {
    "production": "production settings",
    "sandbox": "sandbox",
    "memory": "sandbox with its file in memory",
}

COLUMNS = (
    "devices | connections | request | per second | rounds from to | p50 ms | p95 ms | p99 ms | pgbench | of it"
    " | service us | Postgres us | callers us"
)


def machine(postgres_version):
    info = pathlib.Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "processor": names[0] if names else platform.processor(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "postgres": postgres_version,
        "rustc": rustc,
    }


def markdown(found):
    lines = [", ".join(f"{name}: {value}" for name, value in found["machine"].items()), ""]
    lines += [*targets.table(found), ""]
    lines += [f"| {COLUMNS} |", "|" + " --- |" * (COLUMNS.count("|") + 1)]
    for size in found["sizes"]:
        for level in size["levels"]:
            for operation, name in {"nothing": NOTHING, **OPERATIONS}.items():
                lines.append(row(size["devices"], level["connections"], name, level[operation]))
    one, two = found["replicas"]["one"], found["replicas"]["two"]
    lines += ["", f"Two replicas, {found['replicas']['connections']} connections:", ""]
    lines += ["| request | one | two | two of one |", "| --- | --- | --- | --- |"]
    for operation, name in OPERATIONS.items():
        rates = one[operation]["rate"], two[operation]["rate"]
        lines.append(f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[1] / rates[0]:.2f} |")
    largest = found["sizes"][-1]
    top = largest["levels"][-1]
    check, sqlite = found["check"], found["sqlite"]["answer"]
    lines += [
        "",
        f"Signature check: {check['service_us']:.1f} us, AWS-LC alone {check['aws_lc_us']:.1f} us:"
        f" {check['ratio']:.2f}.",
        f"SQLite, {found['sqlite']['connections']} connections, PUT the signature: {sqlite['rate']:,.0f} per second,"
        f" its statements alone {sqlite['limit']:,.0f}: {sqlite['ratio']:.2f}.",
        *(whole(name, found["whole"][kind]) for kind, name in WHOLE.items()),
        f"On disk with {largest['devices']:,} devices: {largest['disk_bytes'] / 2**20:,.0f} MiB,"
        f" {largest['disk_bytes'] / largest['devices']:,.0f} bytes a device.",
        f"Resident memory after {top['connections']} connections: {top['memory_mib']:.0f} MiB,"
        f" at most {top['memory_most_mib']:.0f} MiB.",
        f"From start to ready: {found['boot_ms']:.0f} ms.",
    ]
    return "\n".join(lines) + "\n"


def whole(name, figures):
    """A whole binding: POST a number, POST a binding, PUT the signature."""
    return (
        f"Whole binding on SQLite, one connection, {name}: {figures['rate']:,.0f} per second,"
        f" p50 {figures['p50_ms']:.2f} ms, {figures['service_cpu_us']:.0f} us of the service: {figures['ratio']:.2f}."
    )


def comparison(found):
    """The service of another commit beside this one: medians of the rounds, and the median ratio of the rounds."""
    before, after = found["before"], found["after"]
    lines = [
        ", ".join(f"{name}: {value}" for name, value in found["machine"].items()),
        "",
        f"| {found['connections']} connections | before | after | after / before | service us | Postgres us |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for operation in found["ratios"]:
        name, one, two = OPERATIONS[operation], before[operation], after[operation]
        spent = [f"{one[part]:.0f} -> {two[part]:.0f}" for part in ("service_cpu_us", "postgres_cpu_us")]
        ratio = f"{found['ratios'][operation]:.2f}"
        lines.append("| " + " | ".join([name, f"{one['rate']:,.0f}", f"{two['rate']:,.0f}", ratio, *spent]) + " |")
    lines += [
        "",
        f"Resident memory: {before['memory_mib']:.0f} -> {after['memory_mib']:.0f} MiB."
        f" From start to ready: {before['boot_ms']:.0f} -> {after['boot_ms']:.0f} ms.",
    ]
    return "\n".join(lines)


def row(devices, connections, name, figures):
    beside = (f"{figures['limit']:,.0f}", f"{figures['ratio']:.2f}") if "limit" in figures else ("", "")
    cells = [
        f"{devices:,}",
        connections,
        name,
        f"{figures['rate']:,.0f}",
        f"{figures['lowest_rate']:,.0f} {figures['highest_rate']:,.0f}",
        *(f"{figures[wait]:.1f}" for wait in ("p50_ms", "p95_ms", "p99_ms")),
        *beside,
        *(f"{figures[part]:.0f}" for part in ("service_cpu_us", "postgres_cpu_us", "callers_cpu_us")),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"
