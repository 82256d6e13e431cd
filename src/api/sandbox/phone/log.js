// The panel of the backend: each request as curl and its answer, the newest first.

import { copyButton, h, icon } from './dom.js';
import { shorten } from './encoding.js';

const COUNT_MAX = 200;

let count = 0;

/** The entry of a step, as `Backend` records it. */
export function addEntry(log, step) {
    for (const open of log.querySelectorAll('details[open]:not([data-touched])')) open.open = false;
    log.prepend(entry(step));
    while (log.children.length > COUNT_MAX) log.lastElementChild.remove();
    document.getElementById('log-empty').hidden = true;
}

export function clearLog(log) {
    log.replaceChildren();
    document.getElementById('log-empty').hidden = false;
}

function entry({ step, method, path, phone, status, ok, headers, body, command, explanation }) {
    count += 1;
    const id = `step-${count}`;
    const details = h(
        'details',
        { class: 'exchange', open: true },
        h('summary', { onclick: () => (details.dataset.touched = '') }, 'Request and answer'),
        h(
            'div',
            { class: 'block' },
            h(
                'div',
                { class: 'block-head' },
                h('h4', {}, 'Request as curl'),
                copyButton(`the request of step ${count}`, () => command),
            ),
            h('pre', { 'data-part': 'curl' }, command),
        ),
        h(
            'div',
            { class: 'block' },
            h('div', { class: 'block-head' }, h('h4', {}, 'Answer')),
            h('pre', { 'data-part': 'answer' }, answerText(status, headers, body)),
        ),
    );
    return h(
        'article',
        { class: ok ? 'entry' : 'entry refused', 'data-step': step, 'data-status': status, 'aria-labelledby': id },
        h(
            'div',
            { class: 'entry-head' },
            h('span', { class: 'status', 'data-tone': tone(status) }, status === 0 ? 'no answer' : String(status)),
            h('h3', { id }, h('span', { class: 'method' }, method), ' ', h('span', { class: 'path' }, readable(path))),
            h('span', { class: 'who' }, phone ? phone.name : ''),
        ),
        h('p', { class: 'said' }, explanation.said),
        explanation.service.map(({ field, text }) =>
            h(
                'p',
                { class: 'service' },
                icon('message'),
                h('span', {}, field && h('code', {}, field), field && ' ', text),
            ),
        ),
        explanation.todo && h('p', { class: 'todo' }, h('strong', {}, 'What to do: '), explanation.todo),
        details,
    );
}

const tone = (status) => (status >= 200 && status < 300 ? 'ok' : 'error');

/** The path for the eye: brackets as such, and ids shortened. The command has the whole path. */
const readable = (path) =>
    path
        .replaceAll('%5B', '[')
        .replaceAll('%5D', ']')
        .replace(/[0-9a-f-]{36}/g, (id) => shorten(id, 8, 4));

function answerText(status, headers, body) {
    if (status === 0) return 'no answer';
    const lines = [`HTTP ${status}`, ...headers.map(([name, value]) => `${name}: ${value}`)];
    if (body !== null) lines.push('', typeof body === 'string' ? body : JSON.stringify(body, null, 2));
    return lines.join('\n');
}
