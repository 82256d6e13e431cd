// Binds a phone, logs in with it and approves a payment: the calls of an app's backend, with the phone's signatures.
//
// Start the service with `cargo run` in another shell, then run `node examples/approve.mjs`. It needs Node.js 18 and no
// package. BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.

import { generateKeyPairSync, randomBytes, sign as signBytes } from "node:crypto";

const { BASE_URL = "http://127.0.0.1:8080", CLIENT_ID = "sandbox", CLIENT_SECRET = "sandbox" } = process.env;

// The app on the phone makes the key pair and signs. The private key stays there.
class Phone {
  #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });

  /** The uncompressed point in hex: 04, x, y. The coordinates of a JWK are padded to 32 bytes. */
  publicKey() {
    const { x, y } = this.#keys.publicKey.export({ format: "jwk" });
    return "04" + [x, y].map((coordinate) => Buffer.from(coordinate, "base64url").toString("hex")).join("");
  }

  /** ECDSA over one SHA-256 of the text, as DER in hex. */
  sign(text) {
    return signBytes("sha256", Buffer.from(text), this.#keys.privateKey).toString("hex");
  }

  /** The person sees every line of an approval from `action` on before the phone signs. */
  linesToShow(text) {
    const lines = text.split("\n");
    if (lines[0] !== "device-management/approval/v1") fail(`not an approval: ${lines[0]}`);
    return lines.slice(lines.findIndex((line) => line.startsWith("action: ")));
  }
}

async function send(step, method, path, headers, body) {
  const signal = AbortSignal.timeout(10_000);
  const response = await fetch(BASE_URL + path, { method, headers, body, signal }).catch((error) =>
    fail(`no answer from ${BASE_URL}: ${error.cause?.message ?? error.message}`),
  );
  const text = await response.text();
  if (!response.ok) fail(`${response.status} ${method} ${path}: ${reason(text)}`);
  console.log(`${response.status} ${method} ${path}  ${step}`);
  return text && JSON.parse(text);
}

/** The message of an error: the API's `errors`, or the `error` of the token endpoint. */
function reason(text) {
  if (!text.startsWith("{")) return text;
  const { errors, error } = JSON.parse(text);
  return errors?.map(({ detail, title }) => detail ?? title).join("; ") ?? error;
}

function call(step, method, path, body, headers) {
  const all = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...headers };
  return send(step, method, path, all, body && JSON.stringify(body));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const credentials = Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString("base64");
const form = new URLSearchParams({ grant_type: "client_credentials" });
const basic = { Authorization: `Basic ${credentials}` };
const { access_token: token } = await send("access token issued", "POST", "/oauth2/token", basic, form);

const person = `example-${randomBytes(8).toString("hex")}`;
const ofPerson = new URLSearchParams({ "filter[person_id]": person });
const number = { number: "+49 151 12345678", verified: true };
await call("verified number registered", "POST", `/v1/persons/${person}/mobile_number`, number);

// Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
const phone = new Phone();
const request = { person_id: person, key_type: "ecdsa-p256", key: phone.publicKey(), name: "Node.js" };
const { id: device } = await call("device requested, code sent", "POST", "/v1/mfa/devices", request);
const [{ code }] = await call("code read from the inbox", "GET", `/sandbox/messages?${ofPerson}`);
await call("device bound", "PUT", `/v1/mfa/challenges/signatures/${device}`, { signature: phone.sign(code) });

// Log in: the phone signs the text of the challenge exactly as received.
const challenges = "/v1/mfa/challenges/devices";
const login = await call("log-in challenge opened", "POST", challenges, { device_id: device });
await call("log-in verified", "PUT", `${challenges}/${login.id}`, { signature: phone.sign(login.string_to_sign) });

// Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it carries out.
const approval = {
  action: "payment",
  amount: { value: "12.50", currency: "EUR" },
  payee: { name: "Müller GmbH", account: "DE89370400440532013000" },
  reference: "Invoice 4711",
};
const payment = await call("payment challenge opened", "POST", challenges, { device_id: device, approval });
phone.linesToShow(payment.string_to_sign).forEach((line) => console.log(`    ${line}`));
const answer = { signature: phone.sign(payment.string_to_sign), approval };
const preference = { Prefer: "return=representation" };
const result = await call("payment verified", "PUT", `${challenges}/${payment.id}`, answer, preference);
if (result.decision !== "approved") fail(`the payment is ${result.decision}`);

await call("devices listed", "GET", `/v1/mfa/devices?${ofPerson}`);
await call("keys listed", "GET", `/v1/mfa/devices/${device}/keys`);
await call("device deleted", "DELETE", `/v1/mfa/devices/${device}`);
