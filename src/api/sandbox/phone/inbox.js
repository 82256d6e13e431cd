// The sandbox's inbox: the messages that would have been sent. The page asks for them while a phone waits for a code.

const PAUSE_MS = 1000;

export class Inbox {
    /** `arrived` takes each new message of the person. `waiting` says whether a phone waits for one. */
    constructor(backend, session, { arrived, waiting, shown }) {
        Object.assign(this, { backend, session, arrived, waiting, shown, messages: [], timer: null });
    }

    /** Forgets the messages, after the person has changed. */
    clear() {
        this.messages = [];
        this.shown(this.messages);
    }

    /** Asks until no phone waits any more, or no token is to be had: the next step begins again. */
    async poll() {
        clearTimeout(this.timer);
        if (!this.waiting()) return;
        await this.read('sms');
        if (this.waiting() && this.backend.token) this.timer = setTimeout(() => this.poll(), PAUSE_MS);
    }

    /** Asks once. An answer is logged under `step` if it has a new message or is a refusal, else only if `always`. */
    async read(step, always = false) {
        const { person } = this.session;
        const path = `sandbox/messages?${encodeURIComponent('filter[person_id]')}=${encodeURIComponent(person)}`;
        const answer = await this.backend.request({ step, path, quiet: true });
        if (person !== this.session.person) return;
        const known = new Set(this.messages.map(({ id }) => id));
        const fresh = answer.ok ? answer.body.filter(({ id }) => !known.has(id)) : [];
        const repeated = !answer.ok && this.refused === answer.status;
        this.refused = answer.ok ? null : answer.status;
        if (always || fresh.length > 0 || (!answer.ok && !repeated))
            this.backend.record(step, 'GET', path, undefined, answer);
        if (!answer.ok) return;
        this.messages = answer.body;
        this.shown(this.messages);
        fresh.reverse().forEach((message) => this.arrived(message));
    }
}
