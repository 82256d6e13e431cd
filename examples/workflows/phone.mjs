// The phone of the workflows: makes P-256 keys and signs with them, as phone.openapi.yaml describes.
//
//     node examples/workflows/phone.mjs [PORT]
//
// Listens on loopback, by default on port 8081; port 0 takes a free one. Keys are in memory only.
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

const keys = new Map();

function createKey() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const id = randomUUID();
  keys.set(id, privateKey);
  // The uncompressed point is the last 65 bytes of the DER form.
  const point = publicKey.export({ type: "spki", format: "der" }).subarray(-65);
  return { id, key: point.toString("hex") };
}

function createSignature(privateKey, { text, decision }) {
  // To decline, the phone replaces the first line of the text before it signs.
  const signed = decision === "declined" ? text.replace(/^.*/, "device-management/decline/v1") : text;
  // Node hashes the text once and returns DER.
  return { signature: sign("sha256", Buffer.from(signed), privateKey).toString("hex") };
}

async function body(request) {
  const chunks = await request.toArray();
  return JSON.parse(Buffer.concat(chunks).toString() || "{}");
}

const server = createServer(async (request, response) => {
  const [, collection, id, action] = request.url.split("/");
  let status = 404;
  let answer = { error: "not found" };
  if (request.method === "POST" && collection === "keys" && id === undefined) {
    [status, answer] = [201, createKey()];
  } else if (request.method === "POST" && action === "signatures" && keys.has(id)) {
    [status, answer] = [201, createSignature(keys.get(id), await body(request))];
  }
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
});
server.listen(Number(process.argv[2] ?? 8081), "127.0.0.1", () => {
  console.log(`phone listening on http://127.0.0.1:${server.address().port}`);
});
