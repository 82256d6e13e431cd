// The stored state of the page: phones with their keys in IndexedDB, which can hold a key that cannot be exported; the
// person and the settings in localStorage. Phones are stored by person.

const NAME = 'device-management-sandbox';

let database;

function open() {
    database ??= new Promise((resolve, reject) => {
        const request = indexedDB.open(NAME, 1);
        request.onupgradeneeded = () => request.result.createObjectStore('phones', { keyPath: ['person', 'number'] });
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    return database;
}

async function run(mode, work) {
    const phones = (await open()).transaction('phones', mode).objectStore('phones');
    return new Promise((resolve, reject) => {
        const request = work(phones);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

/** The person's phones, by number. */
export const loadPhones = (person) =>
    run('readonly', (phones) => phones.getAll(IDBKeyRange.bound([person, 0], [person, Infinity])));

export const savePhone = (phone) => run('readwrite', (phones) => phones.put(phone));

/** The settings, or those of a new tester: several testers share a sandbox, so person and number are random. */
export function loadSession() {
    try {
        const stored = JSON.parse(localStorage.getItem(NAME));
        if (stored?.person) return stored;
    } catch {
        // Not readable: begin again.
    }
    return { ...newPerson(), client: { id: 'sandbox', secret: 'sandbox' }, language: 'en' };
}

export const saveSession = (session) => localStorage.setItem(NAME, JSON.stringify(session));

/** A person that no other tester has, with a German mobile number that ends in none of the sandbox's magic digits. */
export function newPerson() {
    const [id, digits] = crypto.getRandomValues(new Uint32Array(2));
    return {
        person: `tester-${id.toString(36).padStart(7, '0').slice(-6)}`,
        number: `+49 151 ${String(10_000 + (digits % 90_000)).slice(0, 5)}678`,
        registered: null,
        tour: { mistakes: [] },
    };
}
