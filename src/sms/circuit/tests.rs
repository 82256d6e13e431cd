//! Unit tests of the circuit breaker with a simulated time.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

const COOL_OFF: Duration = Duration::from_secs(10);
const ALMOST: Duration = Duration::from_nanos(9_999_999_999);
const SECOND: Duration = Duration::from_secs(1);
const ACCEPTED: Result<HandedOver, SmsError> = Ok(HandedOver { provider: "it", provider_message_id: None });

fn circuit(failures: u32) -> Circuit {
    Circuit::new("it", CircuitSettings { failures, cool_off: COOL_OFF })
}

fn unavailable() -> Result<HandedOver, SmsError> {
    Err(SmsError::Unavailable(Fault::Status { status: 503 }))
}

fn uncertain() -> Result<HandedOver, SmsError> {
    Err(SmsError::Uncertain(Fault::Deadline))
}

fn rejected() -> Result<HandedOver, SmsError> {
    Err(SmsError::Rejected(Fault::Status { status: 400 }))
}

/// Like Twilio's 21408: the country is not enabled for the account.
fn out_of_reach() -> Result<HandedOver, SmsError> {
    Err(SmsError::Unavailable(Fault::Code { status: 400, code: 21408 }))
}

/// Like Twilio's 20003: the credentials are refused.
fn misconfigured() -> Result<HandedOver, SmsError> {
    Err(SmsError::Unavailable(Fault::Misconfigured { status: 401, code: Some(20003) }))
}

fn throttled(retry_after: Option<Duration>) -> Result<HandedOver, SmsError> {
    Err(SmsError::Throttled { retry_after, fault: Fault::Status { status: 429 } })
}

/// Sends one message per result; the circuit must permit each.
#[track_caller]
fn send<const N: usize>(circuit: &Circuit, results: [Result<HandedOver, SmsError>; N], now: Instant) {
    for result in results {
        circuit.permit(now).expect("the circuit permits the message").settle(&result, now);
    }
}

fn permits(circuit: &Circuit, now: Instant) -> bool {
    circuit.permit(now).is_some()
}

#[test]
fn consecutive_failures_open_the_circuit_for_the_cool_off() {
    let (circuit, now) = (circuit(3), Instant::now());
    send(&circuit, [unavailable(), uncertain()], now);
    assert!(permits(&circuit, now), "two of three");
    send(&circuit, [unavailable()], now);
    for later in [Duration::ZERO, ALMOST] {
        assert!(!permits(&circuit, now + later), "{later:?}");
    }
    assert!(permits(&circuit, now + COOL_OFF));
}

#[test]
fn a_refused_account_opens_the_circuit_and_a_refused_number_or_country_does_not() {
    let now = Instant::now();
    for (answer, is_open) in [
        (misconfigured as fn() -> _, true),
        (unavailable, true),
        (uncertain, true),
        (rejected, false),
        (out_of_reach, false),
    ] {
        let circuit = circuit(2);
        send(&circuit, [answer(), answer()], now);
        assert_eq!(permits(&circuit, now), !is_open, "{:?}", answer());
    }
}

#[test]
fn any_response_of_the_provider_resets_the_count_of_consecutive_failures() {
    for answer in [|| ACCEPTED, rejected, out_of_reach, || throttled(None)] {
        let (circuit, now) = (circuit(2), Instant::now());
        send(&circuit, [uncertain(), answer(), unavailable(), answer(), uncertain()], now);
        assert!(permits(&circuit, now), "{:?}", answer());
    }
}

#[test]
fn after_the_cool_off_exactly_one_message_probes_the_provider() {
    let (circuit, now) = (circuit(1), Instant::now());
    send(&circuit, [unavailable()], now);
    let then = now + COOL_OFF;
    let probe = circuit.permit(then).expect("the probe");
    for later in [Duration::ZERO, SECOND, 10 * COOL_OFF] {
        assert!(!permits(&circuit, then + later), "{later:?}");
    }
    probe.settle(&ACCEPTED, then + SECOND);
    let (first, second) = (circuit.permit(then + SECOND), circuit.permit(then + SECOND));
    assert!(first.is_some() && second.is_some(), "a closed circuit permits all messages");
}

#[test]
fn a_failed_probe_opens_the_circuit_again_for_the_cool_off() {
    let (circuit, now) = (circuit(3), Instant::now());
    send(&circuit, [unavailable(), unavailable(), unavailable()], now);
    let mut now = now;
    for failed in [unavailable(), uncertain(), unavailable()] {
        let probe = circuit.permit(now + COOL_OFF).expect("the probe");
        now += COOL_OFF + SECOND;
        probe.settle(&failed, now);
        assert!(!permits(&circuit, now + ALMOST));
    }
}

#[test]
fn a_refused_or_throttled_probe_closes_the_circuit() {
    for answer in [rejected(), throttled(None)] {
        let (circuit, now) = (circuit(1), Instant::now());
        send(&circuit, [unavailable()], now);
        send(&circuit, [answer], now + COOL_OFF);
        let (first, second) = (circuit.permit(now + COOL_OFF), circuit.permit(now + COOL_OFF));
        assert!(first.is_some() && second.is_some());
    }
}

#[test]
fn after_a_cancelled_probe_the_next_message_is_the_probe() {
    let (circuit, now) = (circuit(1), Instant::now());
    send(&circuit, [unavailable()], now);
    let then = now + COOL_OFF;
    for _ in 0..3 {
        let probe = circuit.permit(then).expect("a probe");
        assert!(!permits(&circuit, then));
        drop(probe);
    }
    let probe = circuit.permit(then).expect("a probe");
    probe.settle(&ACCEPTED, then);
    assert!(permits(&circuit, then));
}

#[test]
fn a_send_that_began_before_the_circuit_opened_neither_closes_nor_prolongs_it() {
    let (circuit, now) = (circuit(2), Instant::now());
    let late: Vec<_> = (0..4).map(|_| circuit.permit(now).expect("closed")).collect();
    send(&circuit, [uncertain(), uncertain()], now);
    let mut results = [ACCEPTED, uncertain(), unavailable(), ACCEPTED].into_iter();
    for permit in late {
        permit.settle(&results.next().expect("as many"), now + COOL_OFF - SECOND);
        assert!(!permits(&circuit, now + COOL_OFF - SECOND));
    }
    assert!(permits(&circuit, now + COOL_OFF));
}

#[test]
fn a_send_that_began_before_the_circuit_opened_neither_ends_a_probe_nor_counts_after_it() {
    let (circuit, now) = (circuit(1), Instant::now());
    let [during, after] = [(); 2].map(|()| circuit.permit(now).expect("closed"));
    send(&circuit, [unavailable()], now);
    let then = now + COOL_OFF;
    let probe = circuit.permit(then).expect("the probe");
    during.settle(&ACCEPTED, then);
    assert!(!permits(&circuit, then), "the probe has no result yet");
    probe.settle(&ACCEPTED, then);
    after.settle(&unavailable(), then);
    assert!(permits(&circuit, then));
}

#[test]
fn retry_after_pauses_the_provider_for_at_most_a_minute() {
    for (asked, given) in [(7, 7), (60, 60), (3600, 60)] {
        let (circuit, now) = (circuit(5), Instant::now());
        send(&circuit, [throttled(Some(Duration::from_secs(asked)))], now);
        let given = Duration::from_secs(given);
        assert!(!permits(&circuit, now + given - Duration::from_nanos(1)), "{asked}");
        assert!(permits(&circuit, now + given), "{asked}");
    }
}

#[test]
fn a_shorter_retry_after_does_not_end_a_longer_pause() {
    let (circuit, now) = (circuit(5), Instant::now());
    let [long, short, taken] = [(); 3].map(|()| circuit.permit(now).expect("closed"));
    long.settle(&throttled(Some(30 * SECOND)), now);
    short.settle(&throttled(Some(SECOND)), now);
    taken.settle(&ACCEPTED, now);
    assert!(!permits(&circuit, now + 29 * SECOND));
    assert!(permits(&circuit, now + 30 * SECOND));
}

#[test]
fn with_0_failures_the_circuit_never_opens_but_still_honours_retry_after() {
    let (circuit, now) = (circuit(0), Instant::now());
    send(&circuit, [(); 100].map(|()| unavailable()), now);
    assert!(permits(&circuit, now));
    send(&circuit, [throttled(Some(SECOND))], now);
    assert!(!permits(&circuit, now));
}

#[test]
fn the_gauge_shows_an_open_circuit_until_a_probe_succeeds() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let gauge = |expected: u8| {
        let line = format!("sms_provider_open{{provider=\"it\"}} {expected}");
        let metrics = recorder.handle().render();
        assert!(metrics.contains(&line), "{line} not in\n{metrics}");
    };
    metrics::with_local_recorder(&recorder, || {
        let (circuit, now) = (circuit(2), Instant::now());
        gauge(0);
        send(&circuit, [unavailable()], now);
        gauge(0);
        send(&circuit, [unavailable()], now);
        gauge(1);
        send(&circuit, [unavailable()], now + COOL_OFF);
        gauge(1);
        send(&circuit, [ACCEPTED], now + 2 * COOL_OFF);
        gauge(0);
    });
}
