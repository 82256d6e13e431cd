// The two dialogs: the settings of the backend, and the approval that it asks for.

import { EXAMPLES } from './approvals.js';
import { h } from './dom.js';

const byId = (id) => document.getElementById(id);

/** Opens the settings; resolves to true if they were changed. */
export async function editSettings(session) {
    byId('client-id').value = session.client.id;
    byId('client-secret').value = session.client.secret;
    byId('language').value = session.language;
    if ((await closed(byId('settings'))) !== 'save') return false;
    session.client = { id: byId('client-id').value, secret: byId('client-secret').value };
    session.language = byId('language').value;
    return true;
}

/** Asks for an approval; resolves to `{ approval, purpose }`, or to null if the tester cancelled. */
export async function askApproval() {
    const dialog = byId('approval');
    const text = byId('approval-json');
    const error = byId('approval-error');
    const choose = (example) => {
        text.value = JSON.stringify(example.approval, null, 2);
        error.textContent = '';
    };
    if (!byId('examples').hasChildNodes()) {
        byId('examples').append(
            ...EXAMPLES.map((example) =>
                h(
                    'label',
                    { class: 'choice' },
                    h('input', {
                        type: 'radio',
                        name: 'example',
                        value: example.id,
                        'data-field': `example-${example.id}`,
                        onchange: () => choose(example),
                    }),
                    h('span', {}, h('strong', {}, example.label), h('span', { class: 'hint' }, example.about)),
                ),
            ),
        );
        byId('examples').querySelector('input').checked = true;
        choose(EXAMPLES[0]);
    }
    let approval;
    // A text that is not JSON keeps the dialog open, with its fault.
    dialog.querySelector('form').onsubmit = (event) => {
        if (event.submitter?.value !== 'send') return;
        try {
            approval = JSON.parse(text.value);
            error.textContent = '';
        } catch (fault) {
            event.preventDefault();
            error.textContent = `This is not JSON: ${fault.message}`;
            text.focus();
        }
    };
    return (await closed(dialog)) === 'send' ? { approval, purpose: byId('purpose').value } : null;
}

/** Shows the dialog and resolves to the value of the button that closed it; Escape gives an empty one. */
function closed(dialog) {
    dialog.returnValue = '';
    dialog.showModal();
    return new Promise((resolve) =>
        dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true }),
    );
}
