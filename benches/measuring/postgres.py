"""A private Postgres with durable settings."""

import copy
import os
import pathlib
import re
import shutil
import subprocess
import sys

from . import programs

# Durable, and with the memory settings that the manual recommends to set. All others keep their defaults.
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "'2GB'",
    "max_wal_size": "'8GB'",
    "checkpoint_timeout": "'15min'",
}


class Postgres:
    database = "postgres"

    def __init__(self, folder):
        self.bin = installed()
        self.folder = pathlib.Path(folder) / "postgres"
        self.port = programs.free_port()
        self.folder.mkdir()
        programs.give_to_unprivileged(self.folder)
        self._run("initdb", "-D", self.folder, "-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C")
        settings = SETTINGS | {"port": self.port}
        with (self.folder / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        command = [self.bin / "postgres", "-D", self.folder]
        with (self.folder.parent / "postgres.log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **programs.unprivileged())
        programs.wait_until(self._is_ready, 30, f"Postgres does not start, see {log.name}")
        self.version = self.ask("show server_version")

    def url(self, port=None):
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{self.database}"

    def create_database(self, name):
        """Another database of the same server."""
        self.ask(f"create database {name}")
        other = copy.copy(self)
        other.database = name
        return other

    def ask(self, sql, **variables):
        """Runs SQL with these psql variables (`:name`) and returns the output."""
        given = [f"--set={name}={value}" for name, value in variables.items()]
        command = [self.bin / "psql", "-XqtA", "-v", "ON_ERROR_STOP=1", *given, "-f", "-", self.url()]
        return programs.run(command, input=sql).strip()

    def pgbench(self, folder, script, clients, seconds=None, turns=None):
        """Runs a script for some seconds, or some turns per client. Returns the number of runs and the seconds.

        Each client counts its turns in `:i`.
        """
        path = pathlib.Path(folder) / "script.sql"
        path.write_text(script)
        end = ["-t", turns] if turns else ["-T", seconds]
        command = ["pgbench", "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), *end, "--define=i=0"]
        output = programs.run([self.bin / command[0], *command[1:], "-f", path, self.url()])

        def number(pattern):
            return float(re.search(pattern, output)[1])

        if failed := int(number(r"number of failed transactions: (\d+)")):
            sys.exit(f"error: {failed} transactions of pgbench failed:\n{output}")
        processed = int(number(r"transactions actually processed: (\d+)"))
        return processed, processed / number(r"tps = ([\d.]+)")

    def stop(self):
        programs.end(self.process)

    def _is_ready(self):
        if self.process.poll() is not None:
            sys.exit("error: Postgres did not start:\n" + (self.folder.parent / "postgres.log").read_text()[-2000:])
        command = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program, *arguments):
        programs.run([self.bin / program, *arguments], cwd="/", **programs.unprivileged())


def installed():
    """The folder of the newest installed Postgres, in Debian's folder or on PATH."""
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found := shutil.which("postgres"):
        folders.append(pathlib.Path(os.path.realpath(found)).parent)
    for folder in reversed(folders):
        if all((folder / program).exists() for program in ("postgres", "initdb", "psql", "pgbench")):
            return folder
    sys.exit("error: PostgreSQL's programs are not installed: apt-get install postgresql")
