// Approvals: examples that a backend could ask for, and the text that the phone shows and signs.

export const EXAMPLES = [
    {
        id: 'payment',
        label: 'A payment',
        about: 'One amount to one payee.',
        approval: {
            action: 'payment',
            amount: { value: '12.50', currency: 'EUR' },
            payee: { name: 'Café Müller GmbH', account: 'DE89370400440532013000' },
            reference: 'Invoice 4711',
        },
    },
    {
        id: 'batch',
        label: 'A batch',
        about: 'Several payees; the amount is the sum.',
        approval: {
            action: 'payment',
            amount: { value: '2480.00', currency: 'EUR' },
            payees: [
                { name: 'Ada Example', account: 'DE02120300000000202051', amount: '1250.00' },
                { name: 'Grace Example', account: 'DE02500105170137075030', amount: '980.00' },
                { name: 'Alan Example', amount: '250.00' },
            ],
            reference: 'Salaries November',
        },
    },
    {
        id: 'access',
        label: 'A log-in from a computer',
        about: 'No money: only details that the person should check.',
        approval: {
            action: 'log-in',
            details: [
                { label: 'browser', value: 'Firefox on Linux' },
                { label: 'place', value: 'Berlin, Germany' },
                { label: 'comparison-code', value: '47' },
            ],
        },
    },
];

export const REASONS = [
    { id: 'not_me', label: 'Not me' },
    { id: 'wrong_details', label: 'Wrong details' },
    { id: 'changed_my_mind', label: 'Changed my mind' },
];

const LOG_IN = 'device-management/challenge/v1';
const APPROVAL = 'device-management/approval/v1';
const DECLINE = 'device-management/decline/v1';

/**
 * What the phone reads out of the text to sign: never out of the response, because the person must see what is signed.
 * `shown` has all lines from `action` on, in their order, with their values as they are.
 */
export function read(text) {
    const [kind, ...rest] = text.split('\n');
    if (kind !== LOG_IN && kind !== APPROVAL) throw new Error(`unknown kind of text: ${kind}`);
    const lines = rest.map((line) => {
        const colon = line.indexOf(': ');
        return { name: line.slice(0, colon), value: line.slice(colon + 2) };
    });
    const value = (name) => lines.find((line) => line.name === name)?.value;
    const action = lines.findIndex((line) => line.name === 'action');
    return {
        isLogIn: kind === LOG_IN,
        device: value('device'),
        partner: value('partner'),
        person: value('person'),
        purpose: value('key'),
        expires: value('expires'),
        shown: action < 0 ? [] : lines.slice(action),
    };
}

/** The text that a phone signs to decline: the first line is another one. */
export const declining = (text) => DECLINE + text.slice(text.indexOf('\n'));
