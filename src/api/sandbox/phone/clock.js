// The service's time. The sandbox can move it forward, so that a tester need not wait for a code to expire.

let offset = 0;

/** The service's time now, as a `Date`. */
export const now = () => new Date(Date.now() + offset);

/** Whether an instant of the API has passed. */
export const hasPassed = (instant) => new Date(instant) <= now();

/** Hours and minutes, for the person. */
export const hoursAndMinutes = (date) =>
    date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

/** Reads the service's time. The answer is not logged: it is no step of a binding. */
export async function readClock(backend) {
    const answer = await backend.request({ step: 'clock', path: 'sandbox/clock', quiet: true });
    if (answer.ok) follow(answer.body);
    return answer;
}

export async function advanceClock(backend, seconds) {
    const answer = await backend.request({
        step: 'clock',
        method: 'POST',
        path: 'sandbox/clock',
        body: { advance_seconds: seconds },
    });
    if (answer.ok) follow(answer.body);
    return answer;
}

function follow(body) {
    offset = new Date(body.now) - Date.now();
}
