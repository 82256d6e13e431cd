// The screen of a log-in or an approval. The person must see what is signed: every line is read from the text to sign.

import { REASONS, read } from './approvals.js';
import { hasPassed, hoursAndMinutes } from './clock.js';
import { button, h } from './dom.js';
import { body, foot, primary, title } from './parts.js';

/** The screen for `phone.request`. */
export function request(phone, act) {
    let text;
    try {
        text = read(phone.request.text);
    } catch (error) {
        return [
            body(title('A request that this app does not know'), h('p', {}, error.message)),
            foot(button('home', 'Back', () => act('home'), { class: 'wide' })),
        ];
    }
    const field = `reason-${phone.number}`;
    const reason = h(
        'select',
        { id: field, 'data-field': 'reason' },
        REASONS.map(({ id, label }) => h('option', { value: id }, label)),
        h('option', { value: '' }, 'No reason'),
    );
    const lines = text.isLogIn
        ? [
              { name: 'partner', value: text.partner },
              { name: 'person', value: text.person },
          ]
        : text.shown;
    return [
        body(
            h('p', { class: 'eyebrow' }, text.partner),
            title(text.isLogIn ? 'Is this your log-in?' : 'Do you approve this?'),
            text.device !== phone.device && h('p', { class: 'error' }, 'The request is for another device.'),
            h(
                'dl',
                { class: 'lines' },
                lines.map(({ name, value }) =>
                    h(
                        'div',
                        { class: name === 'amount' ? 'line amount' : 'line', 'data-line': name },
                        h('dt', {}, name),
                        h('dd', {}, value),
                    ),
                ),
            ),
            h(
                'p',
                { class: 'hint' },
                hasPassed(text.expires)
                    ? 'This request has expired. '
                    : `Valid until ${hoursAndMinutes(new Date(text.expires))}. `,
                `Signed with the ${text.purpose} key.`,
            ),
            h(
                'details',
                { class: 'raw' },
                h('summary', {}, 'Text to sign'),
                h('pre', { 'data-field': 'string-to-sign' }, phone.request.text),
            ),
        ),
        foot(
            primary('approve', text.isLogIn ? 'Log in' : 'Approve', () => act('answer', 'approved', null)),
            h(
                'div',
                { class: 'decline' },
                h('label', { class: 'visually-hidden', for: field }, 'Reason for declining'),
                reason,
                button('decline', 'Decline', () => act('answer', 'declined', reason.value), { class: 'danger' }),
            ),
            button('home', 'Not now', () => act('home'), { class: 'quiet wide' }),
        ),
    ];
}
