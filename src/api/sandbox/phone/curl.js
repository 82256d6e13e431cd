// Requests as curl commands for a POSIX shell.

/** `text` as one word of the shell: everything between single quotes is literal, so only they need an escape. */
export const quote = (text) => `'${String(text).replaceAll("'", String.raw`'\''`)}'`;

/** The step that sets `$token`. The token is the first string value of the answer. */
export const tokenCommand = (base, client) =>
    [
        `token=$(curl -s -u ${quote(`${client.id}:${client.secret}`)} \\`,
        `  -d grant_type=client_credentials \\`,
        `  ${quote(`${base}oauth2/token`)} | cut -d '"' -f 4)`,
    ].join('\n');

/** A request of the API, with the token in the variable `$token`. `body` is a value for JSON, or undefined. */
export function curlCommand({ method, url, headers = {}, body }) {
    // curl chooses GET without a body and POST with one.
    const isDefault = method === (body === undefined ? 'GET' : 'POST');
    const parts = [`curl -i ${isDefault ? '' : `-X ${method} `}${quote(url)}`, '-H "Authorization: Bearer $token"'];
    if (body !== undefined) parts.push(`-H 'Content-Type: application/json'`);
    for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quote(`${name}: ${value}`)}`);
    if (body !== undefined) parts.push(`-d ${quote(JSON.stringify(body, null, 2))}`);
    return parts.join(' \\\n  ');
}
