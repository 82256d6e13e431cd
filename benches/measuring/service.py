"""The service: the release binary with production settings, or as a sandbox."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode

from . import programs

# As in production. Every SMS is checked against the limits, which are too high to be reached.
SETTINGS = {
    "SQLITE_SYNCHRONOUS": "full",
    "SANDBOX_OTP": "random",
    "SANDBOX_CLIENT": "false",
    "OTP_SECRET": "0" * 64,
    "TOKEN_SECRET": "1" * 64,
    "SMS_PROVIDERS": "webhook",
    "SMS_WEBHOOK_HMAC_SECRET": "2" * 64,
    "SMS_LIMITS": "enforce",
    "LIMIT_SMS_PER_PARTNER_PER_SECOND": "10000",
    "LIMIT_SMS_PER_PARTNER_BURST": "100000",
    "SMS_CONVERSION_MIN_SENT": "1000000",
    "LOG_FORMAT": "json",
    "RUST_LOG": "info",
}

# The sandbox without configuration, except that it accepts the same tokens.
SANDBOX = {"TOKEN_SECRET": SETTINGS["TOKEN_SECRET"]}
SANDBOX_CODE = "212212"


class Service:
    """One replica. `boot_ms` is the time from start to ready."""

    def __init__(self, executable, folder, database_url, gateway, usual=None, **settings):
        self.address = f"127.0.0.1:{programs.free_port()}"
        addresses = {"HTTP_ADDR": self.address, "METRICS_ADDR": f"127.0.0.1:{programs.free_port()}"}
        here = {"DATABASE_URL": database_url, "SMS_WEBHOOK_URL": gateway}
        usual = SETTINGS if usual is None else usual
        self.environment = {"PATH": os.environ["PATH"], **usual, **addresses, **here, **settings}
        self.executable, self.folder = executable, folder
        with (folder / "service.log").open("a") as log:
            started = time.monotonic()
            self.process = subprocess.Popen([executable], env=self.environment, cwd=folder, stdout=log, stderr=log)
        programs.wait_until(self._is_ready, 60, f"the service is not ready, see {folder / 'service.log'}")
        self.boot_ms = (time.monotonic() - started) * 1000

    def token(self, partner):
        """A bearer token of a new client of the partner, which may assert that a number is verified."""
        command = [self.executable, "client", "create", "--partner", partner, "--permission", "numbers:assert"]
        output = programs.run(command, env=self.environment, cwd=self.folder)
        client, secret = (line.partition("=")[2] for line in output.splitlines())
        request = urllib.request.Request(
            f"http://{self.address}/oauth2/token",
            data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
            headers={"Authorization": "Basic " + b64encode(f"{client}:{secret}".encode()).decode()},
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)["access_token"]

    def has_device_challenges(self):
        """Whether this build has the route: without a token it answers 401, an unknown path 404."""
        request = urllib.request.Request(f"http://{self.address}/v1/mfa/challenges/devices", method="POST")
        try:
            with urllib.request.urlopen(request):
                return True
        except urllib.error.HTTPError as error:
            return error.code == 401

    def stop(self):
        programs.end(self.process)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit("error: the service did not start:\n" + (self.folder / "service.log").read_text()[-2000:])
        return programs.answers(f"http://{self.address}/readyz")
