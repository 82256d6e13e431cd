// The phone's keys: ECDSA on P-256 by WebCrypto. The private key is not extractable: the browser signs with it and
// hands it to no script, as the secure hardware of a phone does.

import { base64, hex, utf8 } from './encoding.js';
import { rawToDer } from './der.js';

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
// WebCrypto hashes the text itself, once. A text that is hashed before is hashed twice.
const ONE_HASH = { name: 'ECDSA', hash: 'SHA-256' };

/** Whether the browser offers WebCrypto, which it does on HTTPS and on localhost only. */
export const available = () => Boolean(globalThis.crypto?.subtle);

/** A new key pair: `hex` is the public key as the API takes it. */
export async function generate(purpose) {
    const pair = await crypto.subtle.generateKey(CURVE, false, ['sign', 'verify']);
    const point = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    return { purpose, pair, hex: hex(point) };
}

/** The signature over the UTF-8 bytes of `text` as the API takes it, or with one of the mistakes of `mistakes.js`. */
export async function sign(key, text, mistake) {
    const raw = new Uint8Array(await crypto.subtle.sign(ONE_HASH, key.pair.privateKey, await toSign(text, mistake)));
    if (mistake === 'raw-signature') return hex(raw);
    if (mistake === 'base64-signature') return base64(rawToDer(raw));
    return hex(rawToDer(raw));
}

async function toSign(text, mistake) {
    if (mistake === 'line-end') return utf8(`${text}\n`);
    if (mistake !== 'hashed-twice' && mistake !== 'hex-digest') return utf8(text);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', utf8(text)));
    return mistake === 'hashed-twice' ? digest : utf8(hex(digest));
}

/** The public key as the API takes it, or with one of the mistakes of `mistakes.js`. */
export async function publicKey(key, mistake) {
    if (mistake === 'key-with-header')
        return hex(new Uint8Array(await crypto.subtle.exportKey('spki', key.pair.publicKey)));
    if (mistake === 'compressed-key') {
        const odd = parseInt(key.hex.at(-1), 16) % 2 === 1;
        return (odd ? '03' : '02') + key.hex.slice(2, 66);
    }
    if (mistake === 'base64-key') {
        return base64(new Uint8Array(await crypto.subtle.exportKey('raw', key.pair.publicKey)));
    }
    return key.hex;
}
