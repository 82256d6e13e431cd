// Answers in plain words: one sentence on each answer, and for a refusal the next step. The `detail` of the service is
// shown beside it, as the service wrote it.

const DONE = {
    token: () => 'The backend has an access token. It is valid for an hour.',
    'register-number': () => 'The person has a number. The backend asserts that it has verified it.',
    'delete-number': () => 'The person’s old number is deleted.',
    bind: () => 'The device is pending, and the service sends a code to the person’s number by SMS.',
    sms: () => 'The SMS is in the sandbox’s inbox, and the phone shows it. In production only the person sees it.',
    'sign-code': () => 'The signature over the code is correct: the device is bound.',
    'log-in': () =>
        'A challenge is open. The backend hands string_to_sign to the phone, unchanged; the phone shows it.',
    'ask-approval': () => 'A challenge with an approval is open. The phone shows the lines of string_to_sign.',
    approve: (body) =>
        body?.approval
            ? 'The phone approved. The backend carries out the action.'
            : 'The phone signed the challenge. The backend logs the person in.',
    decline: (body) =>
        `The phone declined${body?.reason ? ` with the reason ${body.reason}` : ''}. ` +
        'The signature proves that the decline came from this device.',
    'add-key': () => 'The device has a further key. A key that it already had signed it.',
    'list-devices': (body) => count(body?.length ?? 0, 'bound device'),
    'list-keys': (body) => count(body?.[0]?.keys?.length ?? 0, 'key of this device', 'keys of this device'),
    'read-device': (body) =>
        body?.deleted_at ? 'The service keeps a tombstone of the device: it was deleted.' : 'The device is bound.',
    delete: () => 'The device and its keys are deleted. From now on no signature by them is accepted.',
    clock: (body) => `The service’s time is ${body?.now}. Codes, tokens and cool-downs follow it.`,
    inbox: (body) => count(body?.length ?? 0, 'message'),
};

// Refusals whose meaning depends on the step.
const BY_STEP = {
    'sign-code 404': [
        'The challenge is over: expired, answered, closed by three wrong signatures, or superseded by a newer binding.',
        'Bind this phone again. Only the newest code works.',
    ],
    'approve 404': [
        'The challenge is over: expired, answered, closed by three wrong signatures, or its device was deleted.',
        'Ask the phone again.',
    ],
    'add-key 404': ['The service has no such device: it was deleted.', 'Make a new key and bind this phone again.'],
    'list-keys 404': ['The service has no such device: it was deleted.', 'Make a new key and bind this phone again.'],
    'delete 404': ['The device was deleted before.', 'Nothing is left to do.'],
    'clock 400': ['The clock only goes forward.', 'Advance it by at least one second.'],
};
BY_STEP['decline 404'] = BY_STEP['approve 404'];

const BY_CODE = {
    invalid_tan: [
        'The signature is well-formed, but does not verify for this text and this key. It counts as a wrong answer.',
        'Sign again. Three wrong signatures close the challenge, five consecutive ones start a cool-down.',
    ],
    unauthorized_action: [
        'The fraud check declined the device, or the client lacks a permission.',
        'Do not send the request again.',
    ],
    mobile_number_exists: ['The person already has a number.', 'Delete it first.'],
    device_limit_exceeded: [
        'The person has five bound devices, which is the limit.',
        'Delete a device, then bind this one again.',
    ],
    key_already_registered: ['A bound device already has this key.', 'Make a new key, then bind again.'],
    key_limit_exceeded: ['The device has ten keys, which is the limit.', 'Delete the device and bind it again.'],
    conflict: [
        'Another request for the same person was faster, or the approval differs from the one of the challenge.',
        'Try again in a moment.',
    ],
    too_many_requests: [
        'The person or the device is in a cool-down after five consecutive failures, or a rate limit is reached.',
        'Wait, or move the clock forward by 30 minutes.',
    ],
    bad_gateway: ['No SMS provider took the message. The challenge is closed.', 'Check the number, then bind again.'],
    service_unavailable: ['The service is overloaded or its database is unavailable.', 'Try again in a few seconds.'],
    generic_error: ['The service has an internal error.', 'Look for the request id in the log of the service.'],
    not_found: ['The service knows no such resource.', 'Start this step again.'],
};

const FIELDS = {
    signature: [
        'The signature is malformed. The API takes the hex of a strict DER SEQUENCE { r, s }. No attempt was counted.',
        'Correct the encoding and send it again; the challenge is still open.',
    ],
    key: [
        'The key is malformed. The API takes 130 hex digits: the uncompressed point 04, x, y. No SMS was sent.',
        'Correct the encoding and bind again.',
    ],
    device_id: [
        'The service has no bound device with this id: it was deleted, or never bound.',
        'Bind the phone again with a new key.',
    ],
    number: ['The service cannot use this number, or the person has none.', 'Enter a mobile number and bind again.'],
};

/**
 * The sentences on an answer: `said` is what happened, `todo` the next step after a refusal, `service` the texts of the
 * service, each with the field that it names.
 */
export function explain(step, answer) {
    const { ok, status, body } = answer;
    if (ok) return { said: DONE[step](body), todo: null, service: [] };
    if (status === 0) return refusal(['The service did not answer.', 'Check that it runs, then try again.']);
    if (step === 'token') {
        return refusal(
            ['The service refused the client’s id or secret.', 'Correct them in the settings.'],
            [{ field: null, text: body?.error_description ?? body?.error ?? `HTTP ${status}` }],
        );
    }
    const errors = body?.errors ?? [];
    const service = errors.map((error) => ({
        field: error.source?.field ?? null,
        text: error.source?.message ?? error.detail,
    }));
    const field = errors[0]?.source?.field?.split('.').at(-1);
    return refusal(
        BY_STEP[`${step} ${status}`] ??
            BY_CODE[errors[0]?.code] ??
            FIELDS[field] ?? [
                'A field of the request is wrong. Nothing was changed.',
                'Correct the field that the service names.',
            ],
        service,
    );
}

const refusal = ([said, todo], service = []) => ({ said, todo, service });

function count(number, one, many = `${one}s`) {
    if (number === 0) return `The list is empty: no ${one}.`;
    return `The list has ${number} ${number === 1 ? one : many}.`;
}
