"""Processes: ports, users, processor time, memory."""

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged():
    """Options that start a process as the user of Debian's Postgres package: Postgres refuses to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def give_to_unprivileged(path):
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(path, user.pw_uid, user.pw_gid)


def run(command, **options):
    """Runs a command and returns its output; exits with its message if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        message = (done.stderr or done.stdout)[-2000:]
        sys.exit(f"error: {pathlib.Path(command[0]).name} ended with {done.returncode}: {message}")
    return done.stdout


def processor_seconds(pid):
    """Processor time of a process and its children, including children that have ended."""
    return own_seconds(pid, ended_children=True) + sum(own_seconds(child) for child in children(pid))


def own_seconds(pid, ended_children=False):
    """proc(5), `/proc/pid/stat`: fields 14 and 15, and 16 and 17 for children that have been waited for."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11 : 15 if ended_children else 13]) / TICKS


def children(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def resident_mebibytes(pid):
    """Resident memory of a process, now and at its peak."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def wait_until(condition, patience, complaint):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"error: {complaint}")
        time.sleep(0.001)


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
