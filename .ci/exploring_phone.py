"""The phones of the explored service, as hooks of schemathesis: a new key for each device, and its signatures.

The hooks act where a request has the key or the signature of schemathesis.toml, or the id of an unknown device. Any
other value stays, and is most likely wrong. Keys and signatures are deterministic, so that each run sends the same.
"""

import itertools
import json
import os
import re
import urllib.request

import schemathesis
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# The starts of the key and of the signature in schemathesis.toml.
SAMPLE_KEY, SAMPLE_SIGNATURE = "04a346c447bac867", "3045022100bdbebd8ba5"

CODE = "212212"  # the sandbox's
DECLINE = "device-management/decline/v1\n"

scalars = itertools.count(2**200)
made: dict[str, EllipticCurvePrivateKey] = {}  # by public key
devices: dict[str, EllipticCurvePrivateKey] = {}  # by id, which is also that of the binding's challenge
bound: list[str] = []  # ids of devices, the latest last
challenges: dict[str, dict] = {}  # as opened, with the device, by id


def new_key() -> str:
    key = derive_private_key(next(scalars), SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    made[point] = key
    return point


def sign(device: str, text: str) -> str:
    return devices[device].sign(text.encode(), ECDSA(SHA256(), deterministic_signing=True)).hex()


def bind() -> str:
    """Binds a device to a person who has a number, so that there is one to challenge."""
    key = new_key()
    body = {"person_id": "ada", "key_type": "ecdsa-p256", "key": key}
    device = json.loads(send("POST", "/v1/mfa/devices", body))["id"]
    devices[device] = made[key]
    send("PUT", f"/v1/mfa/challenges/signatures/{device}", {"signature": sign(device, CODE)})
    bound.append(device)
    return device


def send(method: str, path: str, body: dict) -> bytes:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    url = os.environ["SERVICE_URL"] + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.read()


def is_id(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def is_sample(body: object, field: str, sample: str) -> bool:
    return isinstance(body, dict) and str(body.get(field)).startswith(sample)


@schemathesis.hook
def before_call(context, case, kwargs):
    body, identifier = case.body, (case.path_parameters or {}).get("id")
    match case.operation.label:
        case "POST /v1/mfa/devices" if is_sample(body, "key", SAMPLE_KEY):
            body["key"] = new_key()
        case "PUT /v1/mfa/challenges/signatures/{id}" if is_sample(body, "signature", SAMPLE_SIGNATURE):
            if identifier in devices:
                body["signature"] = sign(identifier, CODE)
        case "POST /v1/mfa/devices/{id}/keys" if is_sample(body, "key", ""):
            if identifier in devices and is_sample(body.get("device_signature"), "signature", SAMPLE_SIGNATURE):
                body["key"] = new_key()
                body["device_signature"]["signature"] = sign(identifier, body["key"])
        case "POST /v1/mfa/challenges/devices" if isinstance(body, dict):
            if is_id(body.get("device_id")) and body["device_id"] not in bound:
                body["device_id"] = bound[-1] if bound else bind()
        case "PUT /v1/mfa/challenges/devices/{id}" if is_sample(body, "signature", SAMPLE_SIGNATURE):
            if identifier in challenges:
                challenge = challenges[identifier]
                text = challenge["string_to_sign"]
                if body.get("decision") == "declined":
                    text = DECLINE + text.partition("\n")[2]
                body["signature"] = sign(challenge["device_id"], text)
                if body.pop("approval", None) is not None and "approval" in challenge:
                    body["approval"] = challenge["approval"]


@schemathesis.hook
def after_call(context, case, response):
    identifier = (case.path_parameters or {}).get("id")
    match case.operation.label, response.status_code:
        case "POST /v1/mfa/devices", 202 if case.body["key"] in made:
            devices[response.json()["id"]] = made[case.body["key"]]
        case "PUT /v1/mfa/challenges/signatures/{id}", 204 if identifier in devices:
            bound.append(identifier)
        case "DELETE /v1/mfa/devices/{id}", 204:
            bound[:] = [device for device in bound if device != identifier]
        case "POST /v1/mfa/challenges/devices", 201 if case.body["device_id"] in devices:
            opened = response.json()
            challenges[opened["id"]] = {**opened, "device_id": case.body["device_id"]}
