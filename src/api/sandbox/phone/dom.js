// Elements without a framework. Text is set as text and never parsed as HTML.

/** An element with attributes, `on...` listeners and children. Absent children and attributes are left out. */
export function h(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
        else if (value === true) element.setAttribute(key, '');
        else if (value !== false && value != null) element.setAttribute(key, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return element;
}

/** One of the symbols that the page defines. It is decoration: the text beside it has the meaning. */
export function icon(name) {
    const namespace = 'http://www.w3.org/2000/svg';
    const svg = document.createElementNS(namespace, 'svg');
    svg.setAttribute('class', 'icon');
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS(namespace, 'use');
    use.setAttribute('href', `#icon-${name}`);
    svg.append(use);
    return svg;
}

/** A button with a stable name for tests. */
export const button = (action, label, onclick, attributes = {}) =>
    h('button', { type: 'button', 'data-action': action, onclick, ...attributes }, label);

/** A button that copies the text of `source()`, and says so. */
export function copyButton(name, source) {
    const label = h('span', {}, 'Copy');
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(source());
            label.textContent = 'Copied';
        } catch {
            label.textContent = 'Copying was refused';
        }
        setTimeout(() => (label.textContent = 'Copy'), 2000);
        announce(label.textContent);
    };
    return h(
        'button',
        { type: 'button', class: 'quiet small', 'data-action': 'copy', onclick: copy },
        icon('copy'),
        label,
        h('span', { class: 'visually-hidden' }, ` ${name}`),
    );
}

/** Tells screen readers about a change that has no place of its own. */
export function announce(text) {
    document.getElementById('announcements').textContent = text;
}
