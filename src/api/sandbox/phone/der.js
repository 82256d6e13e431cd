// From the signature of WebCrypto to the one that the API takes.
//
// ECDSA gives two numbers, r and s. WebCrypto returns them as 64 bytes, r and then s, each padded to 32 bytes (IEEE
// P1363; JOSE uses the same form). The API takes the DER of X.509 and of the phones' own libraries:
//
//   SEQUENCE { INTEGER r, INTEGER s }     30 LL  02 LR r...  02 LS s...
//
// A DER integer is signed and has as few bytes as possible (X.690 section 8.3.2). Two corrections follow:
// - zero bytes in front are removed, since padding is not allowed;
// - one zero byte is put in front when the first bit is 1, since the number would be negative otherwise.
// A conversion without them works for one signature in four or so, which is why it passes a short test.

/** The DER of the signature `raw` (64 bytes) as bytes. */
export function rawToDer(raw) {
    if (raw.length !== 64) throw new RangeError(`a P-256 signature has 64 bytes, not ${raw.length}`);
    const content = [...integer(raw.subarray(0, 32)), ...integer(raw.subarray(32))];
    // The content has at most 70 bytes, so its length always fits the short form of one byte.
    return Uint8Array.from([0x30, content.length, ...content]);
}

function integer(padded) {
    const bytes = [...padded];
    while (bytes.length > 1 && bytes[0] === 0) bytes.shift();
    if (bytes[0] & 0x80) bytes.unshift(0);
    return [0x02, bytes.length, ...bytes];
}
