// Bytes as text, and text as bytes.

/** The UTF-8 bytes of `text`, without a line end or a byte order mark. */
export const utf8 = (text) => new TextEncoder().encode(text);

/** Lower-case hex of `bytes`. */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Base64 of `bytes`, with padding. */
export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

/** A long hex text or id, shortened for the eye. */
export const shorten = (text, start = 8, end = 4) =>
    text.length <= start + end + 1 ? text : `${text.slice(0, start)}…${text.slice(-end)}`;
