// The steps of the phone and of the backend for one phone. Each step changes the phone's data and returns the result
// that the page shows under it. Nothing here touches the document.

import { declining, read } from './approvals.js';
import * as keys from './keys.js';
import { mistake } from './mistakes.js';

const DELETED = {
    said: 'This device was deleted. Its keys no longer authenticate the person.',
    todo: 'Make a new key and bind this phone again.',
    service: [],
};

export class Flows {
    /** `phones` lists all phones of the page: one mistake signs with the key of another. */
    constructor(backend, session, phones) {
        this.backend = backend;
        this.session = session;
        this.phones = phones;
    }

    async makeKey(phone) {
        phone.keys = [await keys.generate('unrestricted')];
        Object.assign(phone, { state: 'keyed', device: null, expires: null, sms: null, request: null });
        return {
            ok: true,
            said: 'The phone made a key pair. The private key stays in the browser and cannot be exported.',
            service: [],
        };
    }

    async bind(phone, chosen) {
        const unusable = await this.ensureNumber(phone);
        if (unusable) return result(unusable);
        const answer = await this.backend.request({
            step: 'bind',
            method: 'POST',
            path: 'v1/mfa/devices',
            phone,
            body: {
                person_id: this.session.person,
                key_type: 'ecdsa-p256',
                key: await keys.publicKey(phone.keys[0], chosen),
                name: phone.name,
                language: this.session.language,
                ...(chosen === 'fraud-decline' ? { device_data: 'sandbox:decline' } : {}),
            },
        });
        if (answer.ok) {
            Object.assign(phone, {
                state: 'pending',
                device: answer.body.id,
                expires: answer.body.challenge.expires_at,
                sms: null,
            });
        } else if (answer.body?.errors?.some((error) => error.source?.field === 'number')) {
            this.session.registered = null;
        }
        return result(answer, chosen);
    }

    /** Gives the person the number of the form, and returns the answer if that was refused. */
    async ensureNumber(phone) {
        const { session } = this;
        if (session.registered === session.number) return null;
        const path = `v1/persons/${encodeURIComponent(session.person)}/mobile_number`;
        const create = () =>
            this.backend.request({
                step: 'register-number',
                method: 'POST',
                path,
                body: { number: session.number, verified: true },
                phone,
            });
        let answer = await create();
        if (answer.body?.errors?.[0]?.code === 'mobile_number_exists') {
            const deleted = await this.backend.request({ step: 'delete-number', method: 'DELETE', path, phone });
            if (!deleted.ok) return deleted;
            answer = await create();
        }
        if (!answer.ok) return answer;
        session.registered = session.number;
        return null;
    }

    async signCode(phone, code, chosen) {
        const signature = await this.sign(phone, phone.keys[0], code, chosen);
        const answer = await this.backend.request({
            step: 'sign-code',
            method: 'PUT',
            path: `v1/mfa/challenges/signatures/${phone.device}`,
            body: { signature },
            phone,
        });
        if (answer.ok) Object.assign(phone, { state: 'bound', sms: null });
        // The challenge is over, or the refusal closed it. After a `conflict` it is still open.
        const isOver = answer.status === 404 || (answer.status === 409 && !isCode(answer, 'conflict'));
        if (isOver || isCode(answer, 'unauthorized_action')) {
            Object.assign(phone, { state: 'keyed', device: null, sms: null });
        }
        return { ...result(answer, chosen), achieved: answer.ok && 'bind' };
    }

    /** The backend asks the phone for a log-in, or with an approval for that. */
    async ask(phone, approval, purpose) {
        const answer = await this.backend.request({
            step: approval ? 'ask-approval' : 'log-in',
            method: 'POST',
            path: 'v1/mfa/challenges/devices',
            phone,
            body: {
                device_id: phone.device,
                ...(purpose ? { key_purpose: purpose } : {}),
                ...(approval ? { approval } : {}),
            },
        });
        if (answer.ok) phone.request = { id: answer.body.id, text: answer.body.string_to_sign };
        return this.unlessDeleted(phone, answer);
    }

    /** The person's decision on the request that the phone shows. */
    async answer(phone, decision, reason, chosen) {
        const { id, text } = phone.request;
        const { isLogIn, purpose } = read(text);
        const texts = { approved: text, declined: declining(text) };
        const signed = chosen === 'other-decision' ? (decision === 'approved' ? 'declined' : 'approved') : decision;
        const key = phone.keys.find((candidate) => candidate.purpose === purpose);
        const signature = await this.sign(phone, key, texts[signed], chosen);
        const answer = await this.backend.request({
            step: decision === 'approved' ? 'approve' : 'decline',
            method: 'PUT',
            path: `v1/mfa/challenges/devices/${id}`,
            phone,
            headers: { Prefer: 'return=representation' },
            body: { signature, ...(decision === 'declined' ? { decision, ...(reason ? { reason } : {}) } : {}) },
        });
        if (answer.ok || answer.status === 404) phone.request = null;
        const achieved = answer.ok && decision === 'approved' && (isLogIn ? 'log-in' : 'approve');
        return { ...(await this.unlessDeleted(phone, answer, chosen)), achieved };
    }

    async addKey(phone, chosen) {
        const key = await keys.generate('restricted');
        const answer = await this.backend.request({
            step: 'add-key',
            method: 'POST',
            path: `v1/mfa/devices/${phone.device}/keys`,
            phone,
            body: {
                key: key.hex,
                key_type: 'ecdsa-p256',
                key_purpose: key.purpose,
                device_signature: {
                    signature_key_purpose: 'unrestricted',
                    signature: await this.sign(phone, phone.keys[0], key.hex, chosen),
                },
            },
        });
        if (answer.ok) phone.keys = [...phone.keys, key];
        return this.unlessDeleted(phone, answer, chosen);
    }

    /** The person's devices, and the keys of this one. */
    async list(phone) {
        const person = encodeURIComponent(this.session.person);
        const devices = await this.backend.request({
            step: 'list-devices',
            path: `v1/mfa/devices?${encodeURIComponent('filter[person_id]')}=${person}`,
            phone,
        });
        if (!devices.ok) return result(devices);
        const answer = await this.backend.request({
            step: 'list-keys',
            path: `v1/mfa/devices/${phone.device}/keys`,
            phone,
        });
        if (answer.ok) phone.listed = { devices: devices.body, keys: answer.body[0]?.keys ?? [] };
        return this.unlessDeleted(phone, answer);
    }

    /** Deletes a device of the person: this phone's own, or another one, whose phone learns it with its next action. */
    async remove(phone, device) {
        const answer = await this.backend.request({
            step: 'delete',
            method: 'DELETE',
            path: `v1/mfa/devices/${device}`,
            phone,
        });
        const gone = answer.ok || answer.status === 404;
        if (gone && device === phone.device) markDeleted(phone);
        if (gone && phone.listed) phone.listed.devices = phone.listed.devices.filter(({ id }) => id !== device);
        return result(answer);
    }

    /** `result(answer)`. An answer that could mean a deleted device reads the device first; the result then says so. */
    async unlessDeleted(phone, answer, chosen) {
        const unknown = answer.status === 404 || answer.body?.errors?.[0]?.source?.field === 'device_id';
        if (!unknown) return result(answer, chosen);
        const device = await this.backend.request({
            step: 'read-device',
            path: `v1/mfa/devices/${phone.device}`,
            phone,
        });
        if (!device.body?.deleted_at && device.status !== 404) return result(answer, chosen);
        markDeleted(phone);
        return { ...result(answer), ...DELETED };
    }

    async sign(phone, key, text, chosen) {
        const other = () =>
            this.phones().find((candidate) => candidate !== phone && candidate.keys.length > 0)?.keys[0];
        const signer = chosen === 'other-key' ? (other() ?? (await keys.generate('unrestricted'))) : key;
        return keys.sign(signer, text, chosen);
    }
}

function markDeleted(phone) {
    Object.assign(phone, { state: 'deleted', request: null, listed: null, sms: null });
}

const isCode = (answer, code) => answer.body?.errors?.[0]?.code === code;

/** The result of a step under the phone. A refusal of a mistake that was made on purpose also explains the mistake. */
function result(answer, chosen) {
    const isMistakeRefused = answer.status === 400 || answer.status === 403;
    return {
        ok: answer.ok,
        status: answer.status,
        code: answer.body?.errors?.[0]?.code ?? null,
        mistake: isMistakeRefused ? mistake(chosen) : undefined,
        ...answer.explanation,
    };
}
