//! The circuit under a time that the tests move.

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

/// As Twilio's 21408: the country is not enabled for our account.
fn out_of_reach() -> Result<HandedOver, SmsError> {
    Err(SmsError::Unavailable(Fault::Code { status: 400, code: 21408 }))
}

/// As Twilio's 20003: our credentials are refused.
fn misconfigured() -> Result<HandedOver, SmsError> {
    Err(SmsError::Unavailable(Fault::Misconfigured { status: 401, code: Some(20003) }))
}

fn throttled(retry_after: Option<Duration>) -> Result<HandedOver, SmsError> {
    Err(SmsError::Throttled { retry_after, fault: Fault::Status { status: 429 } })
}

/// One hand-over after the other; each must be let through.
#[track_caller]
fn end<const N: usize>(circuit: &Circuit, results: [Result<HandedOver, SmsError>; N], now: Instant) {
    for result in results {
        circuit.permit(now).expect("the circuit lets through").settle(&result, now);
    }
}

fn lets_through(circuit: &Circuit, now: Instant) -> bool {
    circuit.permit(now).is_some()
}

#[test]
fn failures_in_a_row_open_it_for_the_cool_off() {
    let (circuit, now) = (circuit(3), Instant::now());
    end(&circuit, [unavailable(), uncertain()], now);
    assert!(lets_through(&circuit, now), "two of three");
    end(&circuit, [unavailable()], now);
    for later in [Duration::ZERO, ALMOST] {
        assert!(!lets_through(&circuit, now + later), "{later:?}");
    }
    assert!(lets_through(&circuit, now + COOL_OFF));
}

#[test]
fn a_refusal_of_our_account_opens_it_and_one_of_a_number_or_a_country_does_not() {
    let now = Instant::now();
    for (answer, is_open) in [
        (misconfigured as fn() -> _, true),
        (unavailable, true),
        (uncertain, true),
        (rejected, false),
        (out_of_reach, false),
    ] {
        let circuit = circuit(2);
        end(&circuit, [answer(), answer()], now);
        assert_eq!(lets_through(&circuit, now), !is_open, "{:?}", answer());
    }
}

#[test]
fn whatever_shows_that_the_provider_answers_ends_the_row() {
    for answer in [|| ACCEPTED, rejected, out_of_reach, || throttled(None)] {
        let (circuit, now) = (circuit(2), Instant::now());
        end(&circuit, [uncertain(), answer(), unavailable(), answer(), uncertain()], now);
        assert!(lets_through(&circuit, now), "{:?}", answer());
    }
}

#[test]
fn after_the_cool_off_exactly_one_message_probes() {
    let (circuit, now) = (circuit(1), Instant::now());
    end(&circuit, [unavailable()], now);
    let then = now + COOL_OFF;
    let probe = circuit.permit(then).expect("the probe");
    for later in [Duration::ZERO, SECOND, 10 * COOL_OFF] {
        assert!(!lets_through(&circuit, then + later), "{later:?}");
    }
    probe.settle(&ACCEPTED, then + SECOND);
    let (first, second) = (circuit.permit(then + SECOND), circuit.permit(then + SECOND));
    assert!(first.is_some() && second.is_some(), "closed lets everything through");
}

#[test]
fn a_failed_probe_opens_it_again_for_as_long() {
    let (circuit, now) = (circuit(3), Instant::now());
    end(&circuit, [unavailable(), unavailable(), unavailable()], now);
    let mut now = now;
    for failed in [unavailable(), uncertain(), unavailable()] {
        let probe = circuit.permit(now + COOL_OFF).expect("the probe");
        now += COOL_OFF + SECOND;
        probe.settle(&failed, now);
        assert!(!lets_through(&circuit, now + ALMOST));
    }
}

#[test]
fn a_refused_or_throttled_probe_closes_it() {
    for answer in [rejected(), throttled(None)] {
        let (circuit, now) = (circuit(1), Instant::now());
        end(&circuit, [unavailable()], now);
        end(&circuit, [answer], now + COOL_OFF);
        let (first, second) = (circuit.permit(now + COOL_OFF), circuit.permit(now + COOL_OFF));
        assert!(first.is_some() && second.is_some());
    }
}

#[test]
fn a_probe_that_is_broken_off_leaves_its_place_to_the_next() {
    let (circuit, now) = (circuit(1), Instant::now());
    end(&circuit, [unavailable()], now);
    let then = now + COOL_OFF;
    for _ in 0..3 {
        let probe = circuit.permit(then).expect("a probe");
        assert!(!lets_through(&circuit, then));
        drop(probe);
    }
    let probe = circuit.permit(then).expect("a probe");
    probe.settle(&ACCEPTED, then);
    assert!(lets_through(&circuit, then));
}

#[test]
fn what_began_before_it_opened_neither_closes_nor_prolongs_it() {
    let (circuit, now) = (circuit(2), Instant::now());
    let late: Vec<_> = (0..4).map(|_| circuit.permit(now).expect("closed")).collect();
    end(&circuit, [uncertain(), uncertain()], now);
    let mut results = [ACCEPTED, uncertain(), unavailable(), ACCEPTED].into_iter();
    for permit in late {
        permit.settle(&results.next().expect("as many"), now + COOL_OFF - SECOND);
        assert!(!lets_through(&circuit, now + COOL_OFF - SECOND));
    }
    assert!(lets_through(&circuit, now + COOL_OFF));
}

#[test]
fn nor_does_it_settle_a_probe_or_count_after_it() {
    let (circuit, now) = (circuit(1), Instant::now());
    let [during, after] = [(); 2].map(|()| circuit.permit(now).expect("closed"));
    end(&circuit, [unavailable()], now);
    let then = now + COOL_OFF;
    let probe = circuit.permit(then).expect("the probe");
    during.settle(&ACCEPTED, then);
    assert!(!lets_through(&circuit, then), "the probe is still out");
    probe.settle(&ACCEPTED, then);
    after.settle(&unavailable(), then);
    assert!(lets_through(&circuit, then));
}

#[test]
fn a_provider_that_asks_for_a_pause_gets_it_up_to_a_minute() {
    for (asked, given) in [(7, 7), (60, 60), (3600, 60)] {
        let (circuit, now) = (circuit(5), Instant::now());
        end(&circuit, [throttled(Some(Duration::from_secs(asked)))], now);
        let given = Duration::from_secs(given);
        assert!(!lets_through(&circuit, now + given - Duration::from_nanos(1)), "{asked}");
        assert!(lets_through(&circuit, now + given), "{asked}");
    }
}

#[test]
fn a_shorter_wish_does_not_end_a_longer_pause() {
    let (circuit, now) = (circuit(5), Instant::now());
    let [long, short, taken] = [(); 3].map(|()| circuit.permit(now).expect("closed"));
    long.settle(&throttled(Some(30 * SECOND)), now);
    short.settle(&throttled(Some(SECOND)), now);
    taken.settle(&ACCEPTED, now);
    assert!(!lets_through(&circuit, now + 29 * SECOND));
    assert!(lets_through(&circuit, now + 30 * SECOND));
}

#[test]
fn with_no_number_of_failures_it_never_opens_but_still_grants_pauses() {
    let (circuit, now) = (circuit(0), Instant::now());
    end(&circuit, [(); 100].map(|()| unavailable()), now);
    assert!(lets_through(&circuit, now));
    end(&circuit, [throttled(Some(SECOND))], now);
    assert!(!lets_through(&circuit, now));
}

#[test]
fn the_gauge_shows_it_open_until_a_probe_succeeds() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let gauge = |expected: u8| {
        let line = format!("sms_provider_open{{provider=\"it\"}} {expected}");
        let metrics = recorder.handle().render();
        assert!(metrics.contains(&line), "{line} not in\n{metrics}");
    };
    metrics::with_local_recorder(&recorder, || {
        let (circuit, now) = (circuit(2), Instant::now());
        gauge(0);
        end(&circuit, [unavailable()], now);
        gauge(0);
        end(&circuit, [unavailable()], now);
        gauge(1);
        end(&circuit, [unavailable()], now + COOL_OFF);
        gauge(1);
        end(&circuit, [ACCEPTED], now + 2 * COOL_OFF);
        gauge(0);
    });
}
