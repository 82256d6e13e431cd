"""Binds a phone, logs in with it and approves a payment: the calls of an app's backend, with the phone's signatures.

Start the service with `cargo run` in another shell, then run `python3 examples/approve.py`. It needs Python 3.9 and the
package cryptography (Debian: python3-cryptography).
BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.
"""

import base64
import json
import os
import secrets
import sys
from itertools import dropwhile
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:8080")
CLIENT_ID = os.environ.get("CLIENT_ID", "sandbox")
CLIENT_SECRET = os.environ.get("CLIENT_SECRET", "sandbox")


class Phone:
    """The app on the phone makes the key pair and signs. The private key stays there."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())

    def public_key(self):
        """The uncompressed point in hex: 04, x, y."""
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()

    def sign(self, text):
        """ECDSA over one SHA-256 of the text, as DER in hex."""
        return self.key.sign(text.encode(), ec.ECDSA(SHA256())).hex()

    def lines_to_show(self, text):
        """The person sees every line of an approval from `action` on before the phone signs."""
        lines = text.split("\n")
        if lines[0] != "device-management/approval/v1":
            sys.exit(f"not an approval: {lines[0]}")
        return dropwhile(lambda line: not line.startswith("action: "), lines)


def send(step, method, path, data=None, **headers):
    try:
        with urlopen(Request(BASE_URL + path, data, headers, method=method), timeout=10) as response:
            print(response.status, method, path, "", step)
            return json.loads(response.read() or "null")
    except HTTPError as error:
        sys.exit(f"{error.code} {method} {path}: {reason(error.read())}")
    except OSError as error:
        sys.exit(f"no answer from {BASE_URL}: {error}")


def reason(body):
    """The message of an error: the API's `errors`, or the `error` of the token endpoint."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return "; ".join(error.get("detail", error["title"]) for error in answer.get("errors", [])) or answer.get("error")


def call(step, method, path, body=None, **headers):
    headers |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return send(step, method, path, None if body is None else json.dumps(body).encode(), **headers)


credentials = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
form = urlencode({"grant_type": "client_credentials"}).encode()
token = send("access token issued", "POST", "/oauth2/token", form, Authorization=f"Basic {credentials}")["access_token"]

person = f"example-{secrets.token_hex(8)}"
of_person = urlencode({"filter[person_id]": person})
number = {"number": "+49 151 12345678", "verified": True}
call("verified number registered", "POST", f"/v1/persons/{person}/mobile_number", number)

# Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
phone = Phone()
request = {"person_id": person, "key_type": "ecdsa-p256", "key": phone.public_key(), "name": "Python"}
device = call("device requested, code sent", "POST", "/v1/mfa/devices", request)["id"]
code = call("code read from the inbox", "GET", f"/sandbox/messages?{of_person}")[0]["code"]
call("device bound", "PUT", f"/v1/mfa/challenges/signatures/{device}", {"signature": phone.sign(code)})

# Log in: the phone signs the text of the challenge exactly as received.
challenges = "/v1/mfa/challenges/devices"
challenge = call("log-in challenge opened", "POST", challenges, {"device_id": device})
answer = {"signature": phone.sign(challenge["string_to_sign"])}
call("log-in verified", "PUT", f"{challenges}/{challenge['id']}", answer)

# Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it carries out.
approval = {
    "action": "payment",
    "amount": {"value": "12.50", "currency": "EUR"},
    "payee": {"name": "Müller GmbH", "account": "DE89370400440532013000"},
    "reference": "Invoice 4711",
}
challenge = call("payment challenge opened", "POST", challenges, {"device_id": device, "approval": approval})
text = challenge["string_to_sign"]
for line in phone.lines_to_show(text):
    print("   ", line)
answer = {"signature": phone.sign(text), "approval": approval}
result = call("payment verified", "PUT", f"{challenges}/{challenge['id']}", answer, Prefer="return=representation")
if result["decision"] != "approved":
    sys.exit(f"the payment is {result['decision']}")

call("devices listed", "GET", f"/v1/mfa/devices?{of_person}")
call("keys listed", "GET", f"/v1/mfa/devices/{device}/keys")
call("device deleted", "DELETE", f"/v1/mfa/devices/{device}")
