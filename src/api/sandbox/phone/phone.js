// One phone of the page: the frame with its screen, the SMS that arrives on it, and below it the result of the last
// step and the tester's tools. The frame stays in the document and only its screen is drawn again, because a screen
// reader announces changes of a region that exists already.

import { hoursAndMinutes, now } from './clock.js';
import { button, h, icon } from './dom.js';
import { MISTAKES, mistake } from './mistakes.js';
import { screen } from './screens.js';

const TITLES = { new: 'new', keyed: 'not bound', pending: 'waiting for its code', bound: 'bound', deleted: 'deleted' };
const NO_MISTAKE = 'none';

/** The data of a phone without a key. */
export const newPhone = (person, number) => ({
    person,
    number,
    name: `Phone ${number}`,
    state: 'new',
    keys: [],
    device: null,
    expires: null,
    sms: null,
    request: null,
    listed: null,
});

export class PhoneView {
    /** `page` has `flows`, `changed(view, result)` and `askApproval()`. */
    constructor(phone, page) {
        Object.assign(this, { phone, page, busy: false });
        this.time = h('span', { class: 'time' });
        this.screen = h('div', { class: 'app' });
        this.sms = h('div', { class: 'sms-slot', role: 'status', 'aria-label': `Messages of ${phone.name}` });
        this.state = h('span', { class: 'state' });
        this.result = h('div', { class: 'result', role: 'status', 'data-result': 'none' });
        this.tools = h('div', { class: 'tools' });
        const heading = `phone-${phone.number}`;
        this.element = h(
            'article',
            { class: 'phone', 'data-phone': phone.number, 'aria-labelledby': heading },
            h('header', { class: 'phone-head' }, h('h3', { id: heading }, phone.name), this.state),
            h(
                'div',
                { class: 'frame' },
                h(
                    'div',
                    { class: 'display' },
                    h(
                        'div',
                        { class: 'status-bar', 'aria-hidden': 'true' },
                        this.time,
                        h('span', { class: 'island' }),
                        h('span', { class: 'battery' }),
                    ),
                    h(
                        'div',
                        { class: 'app-bar' },
                        h('span', { class: 'app-logo', 'aria-hidden': 'true' }, 'B'),
                        'Example Bank',
                    ),
                    this.sms,
                    this.screen,
                    h('div', { class: 'home-bar', 'aria-hidden': 'true' }),
                ),
            ),
            this.result,
            this.tools,
        );
        this.draw();
    }

    /** Draws the screen again and keeps the focus: on the same control if it still exists, else on the title. */
    draw() {
        const { phone } = this;
        const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
        const inScreen = focused && this.screen.contains(focused);
        const code = this.screen.querySelector('[data-field=code]')?.value;
        this.element.dataset.state = phone.state;
        this.state.textContent = TITLES[phone.state];
        this.state.dataset.tone = phone.state;
        this.tick();
        this.screen.replaceChildren(...screen(phone, (name, ...rest) => this.act(name, ...rest)));
        this.drawSms();
        this.drawTools();
        const input = this.screen.querySelector('[data-field=code]');
        if (input && code) input.value = code;
        if (!focused || focused.isConnected) return;
        const same = focused.dataset.field
            ? this.element.querySelector(`[data-field="${focused.dataset.field}"]`)
            : this.element.querySelector(`[data-action="${focused.dataset.action}"]`);
        (
            same ??
            (inScreen || phone.request
                ? this.screen.querySelector('.screen-title')
                : this.element.querySelector('button'))
        )?.focus();
    }

    tick() {
        this.time.textContent = hoursAndMinutes(now());
    }

    drawSms() {
        const { sms } = this.phone;
        if (this.shownSms === sms?.id) return;
        this.shownSms = sms?.id;
        this.sms.replaceChildren(
            ...(sms
                ? [
                      h(
                          'div',
                          { class: 'sms', 'data-sms': sms.id },
                          h(
                              'p',
                              { class: 'sms-head' },
                              icon('message'),
                              h('strong', {}, 'Messages'),
                              h('span', {}, 'now'),
                          ),
                          h('p', { class: 'sms-text' }, sms.text),
                      ),
                  ]
                : []),
        );
    }

    drawTools() {
        const { phone } = this;
        const asks =
            phone.state === 'bound' &&
            h(
                'div',
                { class: 'asks' },
                h('p', { class: 'label', id: `asks-${phone.number}` }, 'The backend asks this phone'),
                h(
                    'div',
                    { class: 'actions', role: 'group', 'aria-labelledby': `asks-${phone.number}` },
                    button('log-in', 'Log in', () => this.act('ask')),
                    button('ask-approval', 'Approve a payment…', () => this.askApproval()),
                ),
            );
        this.tools.replaceChildren(
            ...[
                asks,
                this.mistakes(),
                phone.state !== 'new' &&
                    h(
                        'p',
                        { class: 'lost' },
                        button('erase', 'Erase this phone', () => this.erase(), {
                            class: 'quiet small',
                            title: 'Like a lost phone: its keys are gone, its device stays bound until it is deleted.',
                        }),
                    ),
            ].filter(Boolean),
        );
    }

    /** The menu of the mistakes that are possible in the next step. */
    mistakes() {
        const { state, request, number } = this.phone;
        const step = { keyed: 'key', pending: 'code', bound: request ? 'challenge' : 'further-key' }[state];
        const possible = MISTAKES.filter(({ when }) => when.includes(step));
        if (!possible.some(({ id }) => id === this.chosen)) this.chosen = NO_MISTAKE;
        if (possible.length === 0) return null;
        const about = h('p', { class: 'hint', id: `about-${number}` }, mistake(this.chosen)?.about ?? '');
        const select = h(
            'select',
            {
                id: `mistake-${number}`,
                'data-field': 'mistake',
                'aria-describedby': `about-${number}`,
                onchange: () => {
                    this.chosen = select.value;
                    about.textContent = mistake(this.chosen)?.about ?? '';
                },
            },
            h('option', { value: NO_MISTAKE }, 'None: do it correctly'),
            possible.map(({ id, label }) => h('option', { value: id }, label)),
        );
        select.value = this.chosen;
        return h(
            'div',
            { class: 'mistake' },
            h(
                'label',
                { class: 'label', for: select.id },
                icon('flask'),
                step === 'further-key' ? 'Mistake in adding the key' : 'Mistake in the next step',
            ),
            select,
            about,
        );
    }

    async askApproval() {
        const asked = await this.page.askApproval();
        if (asked) await this.act('ask', asked.approval, asked.purpose);
    }

    erase() {
        if (this.busy) return;
        Object.assign(this.phone, newPhone(this.phone.person, this.phone.number));
        this.page.changed(this, null);
        this.show({
            ok: true,
            said: 'The phone is erased. If its device was bound, it still is: delete it on another phone.',
            service: [],
        });
        this.draw();
    }

    /** Runs a step of `Flows` with the chosen mistake, one at a time. */
    async act(name, ...rest) {
        if (this.busy) return;
        if (name === 'home') {
            Object.assign(this.phone, { request: null, listed: null });
            this.page.changed(this, null);
            this.draw();
            return;
        }
        this.busy = true;
        this.element.setAttribute('aria-busy', 'true');
        const takesMistake = ['bind', 'signCode', 'answer', 'addKey'].includes(name);
        try {
            const chosen = takesMistake ? [this.chosen] : [];
            const result = await this.page.flows[name](this.phone, ...rest, ...chosen);
            if (takesMistake) this.chosen = NO_MISTAKE;
            this.show(result);
            await this.page.changed(this, result);
        } catch (fault) {
            this.show({
                ok: false,
                said: `The browser failed: ${fault.message}`,
                todo: 'Reload the page.',
                service: [],
            });
            throw fault;
        } finally {
            this.busy = false;
            this.element.removeAttribute('aria-busy');
            this.draw();
            // A diagnosis may be below the fold.
            if (this.result.dataset.result === 'error') this.result.scrollIntoView({ block: 'nearest' });
        }
    }

    /** Shows the result of a step: what happened, what the service says, and what to do. */
    show(result) {
        this.result.dataset.result = result.ok ? 'ok' : 'error';
        this.result.dataset.status = result.status ?? '';
        this.result.dataset.code = result.code ?? '';
        const made = result.mistake;
        this.result.replaceChildren(
            ...[
                h('p', { class: 'said' }, icon(result.ok ? 'check' : 'cross'), h('span', {}, result.said)),
                ...result.service.map(({ field, text }) =>
                    h(
                        'blockquote',
                        { class: 'service' },
                        h('span', { class: 'label' }, field ? `The service says, on ${field}:` : 'The service says:'),
                        text,
                    ),
                ),
                made &&
                    h(
                        'p',
                        { class: 'made' },
                        h('strong', {}, `The mistake: ${made.label}. `),
                        made.about,
                        ' ',
                        made.fix,
                    ),
                !made && result.todo && h('p', { class: 'todo' }, h('strong', {}, 'What to do: '), result.todo),
            ].filter(Boolean),
        );
    }
}
