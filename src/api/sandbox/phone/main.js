// The page: it loads the person's phones, wires the forms, and keeps what changes.

import { Backend, base } from './backend.js';
import { advanceClock, hasPassed, now, readClock } from './clock.js';
import { tokenCommand } from './curl.js';
import { askApproval, editSettings } from './dialogs.js';
import { announce, copyButton, h } from './dom.js';
import { Flows } from './flows.js';
import { Inbox } from './inbox.js';
import * as keys from './keys.js';
import { addEntry, clearLog } from './log.js';
import { newPhone, PhoneView } from './phone.js';
import * as store from './store.js';
import { drawTour, noteStep } from './tour.js';

const byId = (id) => document.getElementById(id);
const log = byId('log');
const NOT_DELIVERED = ['rejected', 'throttled', 'failed'];

const session = store.loadSession();
const backend = new Backend(session, (step) => addEntry(log, step));
let views = [];
const flows = new Flows(backend, session, () => views.map(({ phone }) => phone));
const inbox = new Inbox(backend, session, {
    waiting: () =>
        views.some(({ phone }) => phone.state === 'pending' && !phone.sms && !hasPassed(phone.expires)),
    arrived: (message) => {
        const view = views.find(({ phone }) => phone.state === 'pending' && phone.device === message.challenge_id);
        if (!view || NOT_DELIVERED.includes(message.status)) return;
        view.phone.sms = message;
        store.savePhone(view.phone);
        view.draw();
    },
    shown: drawInbox,
});

const page = {
    flows,
    askApproval,
    async changed({ phone }, result) {
        await store.savePhone(phone);
        noteStep(session, result);
        store.saveSession(session);
        if (phone.state === 'pending' && !phone.sms) inbox.poll();
    },
};

async function showPerson() {
    byId('person').value = session.person;
    byId('number').value = session.number;
    const stored = await store.loadPhones(session.person);
    const phones = stored.length > 0 ? stored : [newPhone(session.person, 1)];
    views = phones.map((phone) => new PhoneView(phone, page));
    byId('phone-row').replaceChildren(...views.map(({ element }) => element));
    drawTour(session);
    inbox.clear();
    inbox.poll();
}

function addPhone() {
    const number = 1 + Math.max(0, ...views.map(({ phone }) => phone.number));
    const view = new PhoneView(newPhone(session.person, number), page);
    store.savePhone(view.phone);
    views.push(view);
    byId('phone-row').append(view.element);
    view.element.querySelector('button').focus();
}

function drawInbox(messages) {
    byId('inbox-count').textContent = String(messages.length);
    byId('inbox').replaceChildren(
        ...messages.map((message) =>
            h(
                'li',
                { 'data-message': message.id },
                h(
                    'p',
                    { class: 'hint' },
                    `${message.to} · ${message.purpose} · ${message.status} · ${message.created_at}`,
                ),
                h('p', { class: 'sms-text' }, message.text),
            ),
        ),
    );
}

async function advance(seconds) {
    const answer = await advanceClock(backend, seconds);
    announce(answer.explanation.said);
    drawClock(answer);
    views.forEach((view) => view.draw());
}

function drawClock(answer) {
    if (!answer.ok) return;
    byId('clock-advanced').textContent =
        answer.body.advanced_seconds > 0 ? `advanced by ${Math.round(answer.body.advanced_seconds / 60)} min` : '';
    tick();
}

function tick() {
    const time = now();
    byId('clock').dateTime = time.toISOString();
    byId('clock').textContent = time.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });
    views.forEach((view) => view.tick());
}

function drawTokenCommand() {
    const command = tokenCommand(base, session.client);
    byId('token-command').replaceChildren(
        h(
            'div',
            { class: 'block' },
            h('pre', { 'data-part': 'token' }, command),
            copyButton('the command for the token', () => command),
        ),
    );
}

byId('person-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const person = byId('person').value;
    if (person !== session.person) Object.assign(session, { person, registered: null, tour: { mistakes: [] } });
    store.saveSession(session);
    await showPerson();
    announce(`The person is ${person}.`);
});
byId('number').addEventListener('change', () => {
    session.number = byId('number').value;
    store.saveSession(session);
});
byId('new-person').addEventListener('click', async () => {
    Object.assign(session, store.newPerson());
    store.saveSession(session);
    await showPerson();
    announce(`The person is ${session.person}.`);
});
byId('clock-actions').addEventListener('click', (event) => {
    const seconds = Number(event.target.closest('button')?.dataset.seconds);
    if (seconds) advance(seconds);
});
byId('open-settings').addEventListener('click', async () => {
    if (!(await editSettings(session))) return;
    backend.forgetToken();
    store.saveSession(session);
    drawTokenCommand();
});
byId('add-phone').addEventListener('click', addPhone);
byId('clear-log').addEventListener('click', () => clearLog(log));
byId('read-inbox').addEventListener('click', () => inbox.read('inbox', true));

drawTokenCommand();
const unavailable = (text) => Object.assign(byId('unavailable'), { textContent: text, hidden: false });
if (keys.available()) {
    try {
        await showPerson();
    } catch (fault) {
        unavailable(`The browser does not let this page store keys (IndexedDB): ${fault.message}. Allow it, then reload.`);
    }
    drawClock(await readClock(backend));
    setInterval(tick, 10_000);
} else {
    unavailable(
        'This browser offers WebCrypto only on HTTPS and on localhost. ' +
            'Open the page as http://127.0.0.1 or http://localhost, or put a proxy with TLS in front of the service.',
    );
}
document.documentElement.dataset.ready = '';
