// Parts that the screens of a phone share.

import { button, h, icon } from './dom.js';
import { shorten } from './encoding.js';

/** The title of a screen. It takes the focus when the control that had it is gone. */
export const title = (text) => h('h4', { class: 'screen-title', tabindex: '-1' }, text);

/** The content of a screen. */
export const body = (...children) => h('div', { class: 'screen-body' }, children);

/** The content of a screen that only tells about a state. */
export const notice = (...children) => h('div', { class: 'screen-body centred' }, children);

/** The buttons at the end of a screen. */
export const foot = (...children) => h('div', { class: 'screen-foot' }, children);

/** The main button of a screen. */
export const primary = (action, label, onclick) => button(action, label, onclick, { class: 'primary wide' });

/** A large symbol. */
export const hero = (name, tone) => h('div', { class: `hero ${tone ?? ''}` }, icon(name));

/** A key or an id, shortened. */
export const mono = (text) => h('code', { class: 'mono', title: text }, shorten(text, 8, 6));
