//! The SQL conditions agree with [`judge`] on whether a challenge is open, and the store returns the state that `judge`
//! needs.
//!
//! A property test: each case is a random state, concentrated around the instants at which a rule changes its result.
//! It is written to the database, and both statements that settle a challenge of that kind run on it, each on its own
//! challenge.

use chrono::{DateTime, TimeDelta, Utc};
use device_management::domain::challenges::signing_text::TextToSign;
use device_management::domain::challenges::{
    AcceptedAnswer, ChallengeId, ChallengeLife, ChallengeRules, ChallengeState, Decision, DeviceAcceptance, Judgement,
    NewDeviceChallenge, Over, WrongDeviceSignature, WrongSignature, judge,
};
use device_management::domain::failure_budget::{FailureBudget, FailureRun};
use device_management::domain::id::NumberId;
use device_management::domain::person::PersonId;
use device_management::store::{Accepted, CodeAnswer, NumberVerification, TypedCode};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{DONE, OVERTAKEN, TestStore, Written, acceptance, acme, binding, fresh_id, now, number, person, record};
use crate::harness::{in_every_form, sql};

in_every_form![
    statements_settle_a_binding_only_while_it_is_judged_open,
    statements_settle_a_number_code_only_while_it_is_judged_open,
    statements_settle_an_sms_challenge_only_while_it_is_judged_open,
    statements_settle_a_device_challenge_only_while_it_is_judged_open,
];

/// Number of challenges of each kind.
const CASES: u32 = 150;

/// How long before its end each challenge begins.
const LIFE: TimeDelta = TimeDelta::minutes(5);

/// Rules for the setup: every answer counts.
const ANY_NUMBER: ChallengeRules = ChallengeRules {
    wrong_answers_cap: i64::MAX,
    budget: FailureBudget { cap: i64::MAX, window: TimeDelta::minutes(30), cool_down: TimeDelta::minutes(30) },
};

/// Microseconds around an instant at which a rule changes its result.
fn nearby() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -1_i64..=1, 1 => -120_000_000_i64..=120_000_000]
}

fn rules() -> impl Strategy<Value = ChallengeRules> {
    (1_i64..=3, 1_i64..=3).prop_map(|(wrong_answers_cap, cap)| {
        let (window, cool_down) = (TimeDelta::seconds(60), TimeDelta::seconds(90));
        ChallengeRules { wrong_answers_cap, budget: FailureBudget { cap, window, cool_down } }
    })
}

/// Failures with the last one near the limits of the rule, in the past or the future.
fn failures() -> impl Strategy<Value = FailureRun> {
    let last = (prop_oneof![Just(-90_000_000_i64), Just(0_i64), Just(90_000_000_i64)], nearby());
    prop_oneof![
        1 => Just(FailureRun::default()),
        3 => (1_i64..=4, last).prop_map(|(count, (edge, near))| FailureRun { count, last: Some(from_now(edge + near)) }),
    ]
}

fn states() -> impl Strategy<Value = ChallengeState> {
    let expires_at = prop_oneof![2 => nearby(), 5 => Just(60_000_000_i64)].prop_map(from_now);
    let closed_at = prop::option::weighted(0.15, Just(now()));
    (closed_at, expires_at, 0_i64..=3, failures()).prop_map(|(closed_at, expires_at, wrong_answers, failures)| {
        ChallengeState { closed_at, expires_at, wrong_answers, failures }
    })
}

fn from_now(micros: i64) -> DateTime<Utc> {
    now() + TimeDelta::microseconds(micros)
}

/// The cases, with the count of each judgement.
struct Cases {
    runner: TestRunner,
    judged: [u32; 5],
}

impl Cases {
    fn new() -> Self {
        Self { runner: TestRunner::deterministic(), judged: [0; 5] }
    }

    fn next(&mut self) -> (ChallengeState, ChallengeRules) {
        (states(), rules()).new_tree(&mut self.runner).unwrap().current()
    }

    fn count(&mut self, judgement: Judgement) {
        self.judged[match judgement {
            Judgement::Open => 0,
            Judgement::CoolingOff(_) => 1,
            Judgement::Over(Over::Expired) => 2,
            Judgement::Over(Over::NoAttemptsLeft) => 3,
            Judgement::Over(Over::Closed) => 4,
        }] += 1;
    }

    /// Fails if a judgement had too few cases for the comparison to be meaningful.
    fn assert_every_judgement_occurred(self) {
        assert!(self.judged.iter().all(|cases| *cases >= 5), "cases of each judgement: {:?}", self.judged);
    }
}

async fn statements_settle_a_binding_only_while_it_is_judged_open(it: TestStore) {
    let mut cases = Cases::new();
    for case in 0..CASES {
        let (state, rules) = cases.next();
        let judgement = judge(&state, now(), &rules);
        cases.count(judgement);
        let is_open = judgement == Judgement::Open;

        let (person_id, id) = it.bind_in(&state, 2 * case).await;
        let found = it.binding(&acme(), id).await.unwrap().expect("it is the person's newest binding").state;
        assert_eq!(found, state);
        let mut right = acceptance(&binding(&person_id, 2 * case));
        (right.at, right.rules) = (now(), rules);
        let accepted = it.accept_binding(&acme(), &right, &record()).await.unwrap();
        let expected = if is_open { Accepted::Bound } else { Accepted::Overtaken };
        assert_eq!(accepted, expected, "{judgement:?}: {state:?} under {rules:?}");

        let (_, id) = it.bind_in(&state, 2 * case + 1).await;
        let wrong = WrongSignature { id, at: now(), rules, activation: None };
        let counted = it.count_wrong_signature(&acme(), &wrong, &record()).await.unwrap();
        let expected = if is_open { Written::Done(state.wrong_answers + 1) } else { Written::Overtaken };
        assert_eq!(counted, expected, "{judgement:?}: {state:?} under {rules:?}");
    }
    cases.assert_every_judgement_occurred();
}

async fn statements_settle_a_number_code_only_while_it_is_judged_open(it: TestStore) {
    let mut cases = Cases::new();
    for case in 0..CASES {
        let (state, rules) = cases.next();
        let judgement = judge(&state, now(), &rules);
        cases.count(judgement);
        let is_open = judgement == Judgement::Open;

        let (person_id, id) = it.send_code_in(&state, 2 * case).await;
        let found = it.number_challenge(&acme(), &person_id, &number()).await.unwrap().expect("the number exists");
        let code = found.code.map(|code| code.state);
        assert_eq!(code, Some(state).filter(|state| state.closed_at.is_none()));
        let right = CodeAnswer { id, at: now(), rules };
        let confirmed = it.confirm_mobile_number(&acme(), &person_id, &right, &record()).await.unwrap();
        let expected = if is_open { DONE } else { OVERTAKEN };
        assert_eq!(confirmed, expected, "{judgement:?}: {state:?} under {rules:?}");

        let (person_id, id) = it.send_code_in(&state, 2 * case + 1).await;
        let wrong = CodeAnswer { id, at: now(), rules };
        let counted = it.count_wrong_code(&acme(), &person_id, &wrong, &record()).await.unwrap();
        let expected = if is_open { Written::Done(state.wrong_answers + 1) } else { Written::Overtaken };
        assert_eq!(counted, expected, "{judgement:?}: {state:?} under {rules:?}");
    }
    cases.assert_every_judgement_occurred();
}

async fn statements_settle_an_sms_challenge_only_while_it_is_judged_open(it: TestStore) {
    let mut cases = Cases::new();
    for case in 0..CASES {
        let (state, rules) = cases.next();
        let judgement = judge(&state, now(), &rules);
        cases.count(judgement);
        let is_open = judgement == Judgement::Open;

        let (person_id, id) = it.open_sms_challenge_in(&state, 2 * case).await;
        let found = it.sms_challenge(&acme(), id).await.unwrap();
        let found = found.map(|found| (found.person_id, found.number, found.code.state));
        let expected = (person_id.clone(), number(), state);
        assert_eq!(found, Some(expected).filter(|(.., state)| state.closed_at.is_none()));
        let right = CodeAnswer { id, at: now(), rules };
        let accepted = it.accept_sms_challenge(&acme(), &person_id, &right, &record()).await.unwrap();
        let expected = if is_open { DONE } else { OVERTAKEN };
        assert_eq!(accepted, expected, "{judgement:?}: {state:?} under {rules:?}");

        let (person_id, id) = it.open_sms_challenge_in(&state, 2 * case + 1).await;
        let wrong = CodeAnswer { id, at: now(), rules };
        let counted = it.count_wrong_code(&acme(), &person_id, &wrong, &record()).await.unwrap();
        let expected = if is_open { Written::Done(state.wrong_answers + 1) } else { Written::Overtaken };
        assert_eq!(counted, expected, "{judgement:?}: {state:?} under {rules:?}");
    }
    cases.assert_every_judgement_occurred();
}

async fn statements_settle_a_device_challenge_only_while_it_is_judged_open(it: TestStore) {
    let mut cases = Cases::new();
    for case in 0..CASES {
        let (state, rules) = cases.next();
        let judgement = judge(&state, now(), &rules);
        cases.count(judgement);
        let is_open = judgement == Judgement::Open;

        let challenge = it.challenge_device_in(&state, 2 * case).await;
        let (id, device_id) = (challenge.id, challenge.device_id);
        let found = it.device_challenge(&acme(), id).await.unwrap().expect("the device is there");
        assert_eq!(found.state, state);
        let answer = AcceptedAnswer {
            decision: Decision::Approved,
            reason: None,
            key_id: found.keys[0].0,
            fingerprint: [7; 32],
            at: now(),
        };
        let person_id = challenge.person_id.clone();
        let right = DeviceAcceptance { id, device_id, person_id, answer, text_to_keep: None, rules };
        let accepted = it.accept_device_answer(&acme(), &right, &record()).await.unwrap();
        let expected = if is_open { DONE } else { OVERTAKEN };
        assert_eq!(accepted, expected, "{judgement:?}: {state:?} under {rules:?}");

        let challenge = it.challenge_device_in(&state, 2 * case + 1).await;
        let wrong = WrongDeviceSignature { id: challenge.id, device_id: challenge.device_id, at: now(), rules };
        let counted = it.count_wrong_device_signature(&acme(), &wrong, &record()).await.unwrap();
        let expected = if is_open { Written::Done(state.wrong_answers + 1) } else { Written::Overtaken };
        assert_eq!(counted, expected, "{judgement:?}: {state:?} under {rules:?}");
    }
    cases.assert_every_judgement_occurred();
}

impl TestStore {
    /// A new person with a bound device whose challenge is in this state.
    async fn challenge_device_in(&self, state: &ChallengeState, seed: u32) -> NewDeviceChallenge {
        let person_id = person(&format!("person-{seed}"));
        self.verified(&acme(), &person_id).await;
        let attempt = binding(&person_id, seed);
        self.bind(&acme(), &attempt).await;
        let challenge = |turn| NewDeviceChallenge {
            id: ChallengeId::mint(now(), fresh_id().as_bytes()[6..].try_into().expect("ten bytes")),
            device_id: attempt.id.bound_device(),
            person_id: person_id.clone(),
            key_purpose: attempt.key_purpose,
            text: TextToSign::from_stored("a text".to_owned()),
            approval: None,
            life: ChallengeLife { created_at: state.expires_at - LIFE, expires_at: state.expires_at },
            turn,
        };
        let (opened, at) = (challenge(1), state.expires_at - LIFE);
        assert_eq!(self.open_device_challenge(&acme(), &opened, &record()).await.unwrap(), DONE);
        for _ in 0..state.wrong_answers {
            self.count_on_device(&opened, at, ANY_NUMBER).await;
        }
        if let Some(closed_at) = state.closed_at {
            self.close_device_challenge(&acme(), opened.id, closed_at, &record()).await.unwrap();
        }
        let forgiven = format!(
            "update device set failures = 0, last_failure_at = null where partner_id = 'acme' and person_id = '{person_id}'"
        );
        assert_eq!(sql::execute(self.database.url(), &forgiven).await, 1);
        // The failures of another challenge of the device.
        if let Some(last) = state.failures.last {
            let kept_open = ChallengeLife { created_at: at, expires_at: last + LIFE };
            let other = NewDeviceChallenge { life: kept_open, ..challenge(2) };
            assert_eq!(self.open_device_challenge(&acme(), &other, &record()).await.unwrap(), DONE);
            for count in 0..state.failures.count {
                let at = last - TimeDelta::seconds(state.failures.count - 1 - count);
                self.count_on_device(&other, at, ANY_NUMBER).await;
            }
        }
        opened
    }

    async fn count_on_device(&self, challenge: &NewDeviceChallenge, at: DateTime<Utc>, rules: ChallengeRules) {
        let wrong = WrongDeviceSignature { id: challenge.id, device_id: challenge.device_id, at, rules };
        let counted = self.count_wrong_device_signature(&acme(), &wrong, &record()).await.unwrap();
        assert!(matches!(counted, Written::Done(_)), "{counted:?}");
    }

    /// A new person with a binding in this state.
    async fn bind_in(&self, state: &ChallengeState, seed: u32) -> (PersonId, ChallengeId) {
        let person_id = person(&format!("person-{seed}"));
        self.verified(&acme(), &person_id).await;
        let mut attempt = binding(&person_id, seed);
        attempt.life = ChallengeLife { created_at: state.expires_at - LIFE, expires_at: state.expires_at };
        self.open(&acme(), &attempt).await;
        for _ in 0..state.wrong_answers {
            let wrong =
                WrongSignature { id: attempt.id, at: attempt.life.created_at, rules: ANY_NUMBER, activation: None };
            assert!(matches!(self.count_wrong_signature(&acme(), &wrong, &record()).await.unwrap(), Written::Done(_)));
        }
        if let Some(closed_at) = state.closed_at {
            self.close_binding(&acme(), attempt.id, closed_at, None, &record()).await.unwrap();
        }
        self.fail_as(&person_id, state.failures).await;
        (person_id, attempt.id)
    }

    /// A new person with a number whose code is in this state.
    async fn send_code_in(&self, state: &ChallengeState, seed: u32) -> (PersonId, ChallengeId) {
        let person_id = person(&format!("person-{seed}"));
        let (number_id, pending) = (NumberId::from(fresh_id()), NumberVerification::Pending);
        let number = number();
        assert!(
            self.create_mobile_number(&acme(), &person_id, (number_id, &number), pending, now(), &record())
                .await
                .unwrap()
        );
        let code = TypedCode { id: fresh_id().into(), otp_version: 1, expires_at: state.expires_at };
        assert_eq!(self.open_number_code(&acme(), &person_id, &number, code, None, &record()).await.unwrap(), DONE);
        self.bring_into(state, &person_id, code.id).await;
        (person_id, code.id)
    }

    /// A new person with an SMS challenge in this state.
    async fn open_sms_challenge_in(&self, state: &ChallengeState, seed: u32) -> (PersonId, ChallengeId) {
        let person_id = person(&format!("person-{seed}"));
        self.verified(&acme(), &person_id).await;
        let code = TypedCode { id: fresh_id().into(), otp_version: 1, expires_at: state.expires_at };
        let opened = self.open_sms_challenge(&acme(), &person_id, &number(), code, None, &record()).await.unwrap();
        assert_eq!(opened, DONE);
        self.bring_into(state, &person_id, code.id).await;
        (person_id, code.id)
    }

    /// Brings a code that was just sent into this state.
    async fn bring_into(&self, state: &ChallengeState, person_id: &PersonId, id: ChallengeId) {
        for _ in 0..state.wrong_answers {
            let wrong = CodeAnswer { id, at: state.expires_at - LIFE, rules: ANY_NUMBER };
            assert!(matches!(
                self.count_wrong_code(&acme(), person_id, &wrong, &record()).await.unwrap(),
                Written::Done(_)
            ));
        }
        if state.closed_at.is_some() {
            self.close_code(&acme(), person_id, id, None, &record()).await.unwrap();
        }
        self.fail_as(person_id, state.failures).await;
    }

    /// Replaces the person's failures.
    async fn fail_as(&self, person_id: &PersonId, failures: FailureRun) {
        let after_a_break = FailureBudget { window: TimeDelta::zero(), ..ANY_NUMBER.budget };
        let Some(last) = failures.last else {
            let forgiven = format!(
                "update person set failures = 0, last_failure_at = null where partner_id = 'acme' and person_id = '{person_id}'"
            );
            assert_eq!(sql::execute(self.database.url(), &forgiven).await, 1);
            return;
        };
        for count in 0..failures.count {
            let budget = if count == 0 { &after_a_break } else { &ANY_NUMBER.budget };
            let at = last - TimeDelta::seconds(failures.count - 1 - count);
            assert_eq!(self.count_failure(&acme(), person_id, at, budget, &record()).await.unwrap(), DONE);
        }
    }
}
