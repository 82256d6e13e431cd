//! The state machine of a challenge, the same for every kind.
//!
//! ```text
//! open --right answer--> closed          open --expires_at--> expired
//! open --superseded, declined--> closed  open --wrong answers up to the cap--> no attempts left
//! ```
//!
//! No transition leads back to open. Failures also pause the person: during the pause no answer is verified, and a
//! challenge that is still open after it can be answered again.

use chrono::{DateTime, Utc};

use crate::domain::failure_budget::{CoolingOff, FailureBudget, FailureRun};

/// The stored fields that decide the state of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChallengeState {
    /// When it was answered right, superseded by a newer one, or closed; `None` before that.
    pub closed_at: Option<DateTime<Utc>>,
    /// The first instant at which it is no longer open.
    pub expires_at: DateTime<Utc>,
    /// Wrong answers so far.
    pub wrong_answers: i64,
    /// The recent failures of its person.
    pub failures: FailureRun,
}

/// The operator's rules for one kind of challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChallengeRules {
    /// The challenge is over after this many wrong answers.
    pub wrong_answers_cap: i64,
    /// The failure budget of the person, over all challenges.
    pub budget: FailureBudget,
}

/// The state of a challenge at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// It can be answered.
    Open,
    /// It can be answered after the pause. No answer is verified until then.
    CoolingOff(CoolingOff),
    /// It can never be answered again.
    Over(Over),
}

/// Why a challenge is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// It was answered right, superseded, or closed.
    Closed,
    /// It has expired.
    Expired,
    /// The cap on wrong answers is reached.
    NoAttemptsLeft,
}

/// The state of the challenge now. `Over` takes precedence over `CoolingOff`: waiting would not help.
#[must_use]
pub fn judge(state: &ChallengeState, now: DateTime<Utc>, rules: &ChallengeRules) -> Judgement {
    if state.closed_at.is_some() {
        Judgement::Over(Over::Closed)
    } else if state.expires_at <= now {
        Judgement::Over(Over::Expired)
    } else if state.wrong_answers >= rules.wrong_answers_cap {
        Judgement::Over(Over::NoAttemptsLeft)
    } else {
        rules.budget.pause(state.failures, now).map_or(Judgement::Open, Judgement::CoolingOff)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    /// Instants around now, dense at the boundaries of the rules.
    fn instants() -> impl Strategy<Value = DateTime<Utc>> {
        prop_oneof![-2_i64..=2, -4_000_000_000_i64..=4_000_000_000]
            .prop_map(|micros| now() + TimeDelta::microseconds(micros))
    }

    fn rules() -> impl Strategy<Value = ChallengeRules> {
        (1_i64..=5, 1_i64..=6, 1_i64..=1800, 0_i64..=1800).prop_map(|(wrong_answers_cap, cap, window, longer)| {
            let (window, cool_down) = (TimeDelta::seconds(window), TimeDelta::seconds(window + longer));
            ChallengeRules { wrong_answers_cap, budget: FailureBudget { cap, window, cool_down } }
        })
    }

    fn states() -> impl Strategy<Value = ChallengeState> {
        let failures = prop_oneof![
            Just(FailureRun::default()),
            (1_i64..=7, instants()).prop_map(|(count, last)| FailureRun { count, last: Some(last) }),
        ];
        (prop::option::weighted(0.2, instants()), instants(), 0_i64..=6, failures).prop_map(
            |(closed_at, expires_at, wrong_answers, failures)| ChallengeState {
                closed_at,
                expires_at,
                wrong_answers,
                failures,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn a_challenge_that_is_over_stays_over(
            state in states(), rules in rules(), later in 0_i64..4_000_000_000, more in 0_i64..4, run in states(),
        ) {
            if let Judgement::Over(_) = judge(&state, now(), &rules) {
                let wrong_answers = state.wrong_answers + more;
                let afterwards = ChallengeState { wrong_answers, failures: run.failures, ..state };
                let judged = judge(&afterwards, now() + TimeDelta::microseconds(later), &rules);
                prop_assert!(matches!(judged, Judgement::Over(_)), "{judged:?}");
            }
        }

        #[test]
        fn an_open_challenge_accepts_answers_until_its_cap_or_the_failure_budget_is_reached(
            state in states(), rules in rules(),
        ) {
            let state = ChallengeState { expires_at: state.expires_at.max(now() + TimeDelta::microseconds(1)), ..state };
            if judge(&state, now(), &rules) != Judgement::Open {
                return Ok(());
            }
            let (mut after, mut taken) = (state, 0);
            while judge(&after, now(), &rules) == Judgement::Open {
                after.wrong_answers += 1;
                after.failures = rules.budget.after_failure(after.failures, now());
                taken += 1;
            }
            prop_assert!(taken <= rules.wrong_answers_cap - state.wrong_answers);
            let ended = if after.wrong_answers == rules.wrong_answers_cap {
                Judgement::Over(Over::NoAttemptsLeft)
            } else {
                Judgement::CoolingOff(CoolingOff { until: now() + rules.budget.cool_down })
            };
            prop_assert_eq!(judge(&after, now(), &rules), ended);
        }

        #[test]
        fn after_the_pause_a_challenge_is_open_again_unless_it_has_expired(
            state in states(), rules in rules(),
        ) {
            if let Judgement::CoolingOff(CoolingOff { until }) = judge(&state, now(), &rules) {
                prop_assert!(until > now());
                let judged = judge(&state, until, &rules);
                let expected =
                    if state.expires_at > until { Judgement::Open } else { Judgement::Over(Over::Expired) };
                prop_assert_eq!(judged, expected);
            }
        }

        #[test]
        fn a_challenge_is_open_until_just_before_its_expiry(state in states(), rules in rules()) {
            let fresh = ChallengeState { closed_at: None, wrong_answers: 0, failures: FailureRun::default(), ..state };
            let last = state.expires_at - TimeDelta::microseconds(1);
            prop_assert_eq!(judge(&fresh, last, &rules), Judgement::Open);
            prop_assert_eq!(judge(&fresh, state.expires_at, &rules), Judgement::Over(Over::Expired));
        }
    }
}
