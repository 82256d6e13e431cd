// The list of things to try, with a mark at those that are done.

const MISTAKES_WANTED = 3;

/** Notes what a step has achieved. */
export function noteStep(session, result) {
    const { tour } = session;
    if (result?.achieved) tour[result.achieved] = true;
    if (result?.mistake && !tour.mistakes.includes(result.mistake.id)) tour.mistakes.push(result.mistake.id);
    drawTour(session);
}

export function drawTour({ tour }) {
    const made = tour.mistakes.length;
    const done = {
        bind: tour.bind,
        'log-in': tour['log-in'],
        approve: tour.approve,
        mistakes: made >= MISTAKES_WANTED,
    };
    for (const item of document.querySelectorAll('[data-tour]')) {
        item.toggleAttribute('data-done', Boolean(done[item.dataset.tour]));
        item.querySelector('.said').textContent = done[item.dataset.tour] ? ', done' : '';
    }
    document.querySelector('[data-tour=mistakes] .count').textContent =
        `${Math.min(made, MISTAKES_WANTED)} of ${MISTAKES_WANTED}`;
}
