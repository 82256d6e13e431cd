// The mistakes that the page can make on purpose. `when` names the steps in which a mistake is possible: the key of a
// binding, the signature over its code, over a device challenge, or over a further key.

const SIGNATURES = ['code', 'challenge', 'further-key'];

export const MISTAKES = [
    {
        id: 'hashed-twice',
        label: 'Hash twice',
        when: SIGNATURES,
        about: 'The app hashes the text and gives the digest to a call that hashes again.',
        fix: 'Give the signing call the text itself.',
    },
    {
        id: 'hex-digest',
        label: 'Sign the hex of the digest',
        when: SIGNATURES,
        about: 'The app signs the SHA-256 of the text, written as hex.',
        fix: 'Give the signing call the text itself.',
    },
    {
        id: 'raw-signature',
        label: 'Send raw r and s, not DER',
        when: SIGNATURES,
        about: 'WebCrypto, JOSE and some libraries return r and s as 64 bytes.',
        fix: 'Convert to DER: SEQUENCE { INTEGER r, INTEGER s }, integers with as few bytes as possible.',
    },
    {
        id: 'base64-signature',
        label: 'Send Base64, not hex',
        when: SIGNATURES,
        about: 'The signature is correct DER, but written as Base64.',
        fix: 'Write the bytes as hex.',
    },
    {
        id: 'line-end',
        label: 'Sign with a line end',
        when: SIGNATURES,
        about: 'A line feed follows the text, as echo and some text fields add it.',
        fix: 'Sign the text exactly as received; in a shell use printf %s.',
    },
    {
        id: 'other-key',
        label: 'Sign with another phone’s key',
        when: SIGNATURES,
        about: 'The signature is correct, but made by the key of another phone.',
        fix: 'Sign with a key of this device.',
    },
    {
        id: 'other-decision',
        label: 'Sign the opposite decision',
        when: ['challenge'],
        about: 'Approving and declining have different texts to sign; the app signs the wrong one.',
        fix: 'Sign the received text to approve; to decline, replace its first line.',
    },
    {
        id: 'key-with-header',
        label: 'Send the key with its header',
        when: ['key'],
        about: 'getEncoded() on Android and most libraries export a SubjectPublicKeyInfo: a header, then the point.',
        fix: 'Send the last 65 bytes: 04, x, y.',
    },
    {
        id: 'compressed-key',
        label: 'Send a compressed point',
        when: ['key'],
        about: 'The point has 33 bytes: 02 or 03, then x.',
        fix: 'Export the uncompressed point of 65 bytes.',
    },
    {
        id: 'base64-key',
        label: 'Send the key as Base64',
        when: ['key'],
        about: 'The point is correct, but written as Base64.',
        fix: 'Write the bytes as hex.',
    },
    {
        id: 'fraud-decline',
        label: 'Be declined by the fraud check',
        when: ['key'],
        about: 'The device_data of the request make the sandbox’s fraud check decline.',
        fix: 'Nothing is wrong with the request: tell the person that this device cannot be bound.',
    },
];

/** The mistake with this id, or undefined for a correct step. */
export const mistake = (id) => MISTAKES.find((candidate) => candidate.id === id);
