// The partner's backend: it holds the client's credentials and calls the service. Every request and its answer go to
// the log, which the panel shows.

import { curlCommand, tokenCommand } from './curl.js';
import { explain } from './explain.js';

/** The service, also behind a gateway with a path prefix: the page is at `sandbox/phone`. */
export const base = new URL('../', document.baseURI).href;

const HEADERS = ['content-type', 'retry-after', 'preference-applied', 'link', 'total', 'allow', 'x-request-id'];

export class Backend {
    /** `log` takes each step: the request, the answer, and the sentences of `explain.js`. */
    constructor(session, log) {
        this.session = session;
        this.log = log;
        this.token = null;
        this.fetching = null;
    }

    /** Forgets the access token, after the credentials have changed. */
    forgetToken() {
        this.token = null;
    }

    /**
     * Sends a request with the access token and returns the answer. `step` names the step in the log. A step that is
     * `quiet` is logged by the caller, if at all.
     */
    async request({ step, method = 'GET', path, body, headers = {}, phone, quiet = false }) {
        let refused = this.token ? null : await this.newToken();
        if (refused) return refused;
        let answer = await this.send(method, path, body, headers);
        if (answer.status === 401) {
            // An access token ends after an hour, and the sandbox's clock can be moved past that.
            refused = await this.newToken();
            if (refused) return refused;
            answer = await this.send(method, path, body, headers);
        }
        answer.explanation = explain(step, answer);
        answer.command = curlCommand({ method, url: base + path, headers, body });
        if (!quiet) this.record(step, method, path, phone, answer);
        return answer;
    }

    record(step, method, path, phone, answer) {
        this.log({ step, method, path: `/${path}`, phone, ...answer });
    }

    async send(method, path, body, headers) {
        return call(path, {
            method,
            headers: {
                Authorization: `Bearer ${this.token}`,
                ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
                ...headers,
            },
            body: body === undefined ? undefined : JSON.stringify(body),
        });
    }

    /** Gets a token, once for all requests that need one, and returns the answer if it was refused. */
    newToken() {
        this.fetching ??= this.fetchToken().finally(() => (this.fetching = null));
        return this.fetching;
    }

    async fetchToken() {
        this.token = null;
        const { client } = this.session;
        // Both parts are form-encoded first (RFC 6749 section 2.3.1).
        const credentials = [client.id, client.secret].map(encodeURIComponent).join(':');
        const answer = await call('oauth2/token', {
            method: 'POST',
            headers: { Authorization: `Basic ${btoa(credentials)}` },
            body: new URLSearchParams({ grant_type: 'client_credentials' }),
        });
        answer.explanation = explain('token', answer);
        answer.command = tokenCommand(base, client);
        const shown = answer.ok ? { ...answer, body: { ...answer.body, access_token: '… in $token …' } } : answer;
        this.record('token', 'POST', 'oauth2/token', undefined, shown);
        if (!answer.ok) return answer;
        this.token = answer.body.access_token;
        return null;
    }
}

async function call(path, options) {
    let response;
    let text;
    try {
        // Without credentials of the browser's own, which would also ask for a password after a 401.
        response = await fetch(base + path, { credentials: 'omit', cache: 'no-store', ...options });
        text = await response.text();
    } catch {
        return { status: 0, ok: false, headers: [], body: null };
    }
    const headers = HEADERS.filter((name) => response.headers.has(name)).map((name) => [
        name,
        response.headers.get(name),
    ]);
    return { status: response.status, ok: response.ok, headers, body: parsed(text) };
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return text || null;
    }
}
