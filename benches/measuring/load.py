"""Sends orders to the load generator (benches/load/), a separate process."""

import json
import subprocess
import sys

from . import programs


class Load:
    def __init__(self, executable):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([executable], text=True, bufsize=1, **pipes)
        self.gateway = self._answer()["gateway"]

    def order(self, what, **more):
        print(json.dumps({"do": what, **more}), file=self.process.stdin, flush=True)
        report = self._answer()
        if "error" in report:
            sys.exit(f"error: the order `{what}` failed: {report['error']}")
        return report

    def stop(self):
        self.process.stdin.close()
        programs.end(self.process)

    def _answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit("error: the load generator has ended")
