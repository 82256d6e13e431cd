// The screens of a phone, one function each. A screen is drawn from the phone's data; its buttons call `act`, which the
// phone of `phone.js` gives.

import { hasPassed, hoursAndMinutes } from './clock.js';
import { button, h, icon } from './dom.js';
import { shorten } from './encoding.js';
import { body, foot, hero, mono, notice, primary, title } from './parts.js';
import { request } from './request.js';

/** The screen for the state of `phone`. */
export function screen(phone, act) {
    if (phone.state === 'bound' && phone.request) return request(phone, act);
    if (phone.state === 'bound' && phone.listed) return devices(phone, act);
    return { new: fresh, keyed, pending, bound, deleted }[phone.state](phone, act);
}

function fresh(phone, act) {
    return [
        notice(
            hero('phone'),
            title('A new phone'),
            h('p', {}, 'The app has no key yet. It makes one in the phone’s secure hardware; here, in the browser.'),
        ),
        foot(primary('make-key', 'Make a key', () => act('makeKey'))),
    ];
}

function keyed(phone, act) {
    return [
        notice(
            hero('key'),
            title('A key, not yet bound'),
            h('p', {}, 'Public key ', mono(phone.keys[0].hex)),
            h('p', {}, 'The backend registers it, and the service sends a code to your number.'),
        ),
        foot(primary('bind', 'Bind this phone', () => act('bind'))),
    ];
}

function pending(phone, act) {
    const field = `code-${phone.number}`;
    const input = h('input', {
        id: field,
        class: 'code',
        'data-field': 'code',
        inputmode: 'numeric',
        maxlength: '12',
        autocomplete: 'one-time-code',
        required: true,
        placeholder: '••••••',
    });
    const submit = (event) => {
        event.preventDefault();
        act('signCode', input.value);
    };
    const fill = () => {
        input.value = phone.sms.code;
        input.focus();
    };
    const code = phone.sms?.code;
    return [
        h(
            'form',
            { class: 'screen-form', onsubmit: submit },
            body(
                title('Enter the code'),
                h('p', {}, code ? 'The code has arrived.' : 'Waiting for the SMS…'),
                h('label', { class: 'visually-hidden', for: field }, 'Code from the SMS'),
                input,
                code &&
                    button(
                        'autofill',
                        [icon('message'), h('span', {}, 'From Messages ', h('strong', {}, code))],
                        fill,
                        { class: 'chip' },
                    ),
                h(
                    'p',
                    { class: 'hint' },
                    hasPassed(phone.expires)
                        ? 'This code has expired.'
                        : `Valid until ${hoursAndMinutes(new Date(phone.expires))}.`,
                ),
            ),
            foot(
                h('button', { type: 'submit', class: 'primary wide', 'data-action': 'sign-code' }, 'Sign the code'),
                button('resend', 'Send a new code', () => act('bind'), { class: 'quiet wide' }),
            ),
        ),
    ];
}

function bound(phone, act) {
    const row = (action, name, label, onclick, tone) =>
        h(
            'li',
            {},
            button(action, [icon(name), h('span', {}, label), icon('next')], onclick, { class: `row ${tone ?? ''}` }),
        );
    return [
        body(
            h(
                'div',
                { class: 'account' },
                icon('shield'),
                title('This phone is bound'),
                h('p', { class: 'mono', title: phone.device }, shorten(phone.device, 13, 6)),
            ),
            h(
                'ul',
                { class: 'key-list', 'aria-label': 'Keys of this phone' },
                phone.keys.map((key) => h('li', {}, icon('key'), h('span', {}, key.purpose), mono(key.hex))),
            ),
            h(
                'ul',
                { class: 'rows', 'aria-label': 'What this phone can do' },
                row('add-key', 'plus', 'Add a restricted key', () => act('addKey')),
                row('list', 'list', 'Devices and keys', () => act('list')),
                row('delete', 'bin', 'Delete this device', () => act('remove', phone.device), 'danger'),
            ),
            h('p', { class: 'hint centred' }, 'Waiting for the backend to ask for a log-in or an approval.'),
        ),
    ];
}

function deleted(phone, act) {
    return [
        notice(
            hero('cross', 'bad'),
            title('This device was deleted'),
            h(
                'p',
                {},
                'Its keys no longer authenticate you. A deleted device cannot return: make a new key and bind again.',
            ),
        ),
        foot(primary('make-key', 'Make a new key', () => act('makeKey'))),
    ];
}

function devices(phone, act) {
    const { devices: list, keys } = phone.listed;
    const own = (device) => device.id === phone.device;
    return [
        body(
            button('home', [icon('back'), 'Back'], () => act('home'), { class: 'quiet small' }),
            title('Devices and keys'),
            h(
                'ul',
                { class: 'device-list', 'aria-label': 'Devices of this person' },
                list.map((device) =>
                    h(
                        'li',
                        { 'data-device': device.id },
                        icon('phone'),
                        h(
                            'div',
                            {},
                            h('strong', {}, device.name ?? 'Without a name'),
                            own(device) && h('span', { class: 'badge' }, 'this phone'),
                            h('span', { class: 'mono', title: device.id }, shorten(device.id, 13, 6)),
                            own(device) &&
                                h(
                                    'ul',
                                    { 'aria-label': 'Keys of this device' },
                                    keys.map((key) =>
                                        h(
                                            'li',
                                            {},
                                            icon('key'),
                                            key.key_purpose,
                                            ' ',
                                            h('span', { class: 'mono' }, shorten(key.key_id, 4, 4)),
                                        ),
                                    ),
                                ),
                        ),
                        button(
                            'delete-device',
                            [
                                icon('bin'),
                                h('span', { class: 'visually-hidden' }, `Delete ${device.name ?? device.id}`),
                            ],
                            () => act('remove', device.id),
                            { class: 'quiet danger', title: 'Delete' },
                        ),
                    ),
                ),
            ),
        ),
    ];
}
