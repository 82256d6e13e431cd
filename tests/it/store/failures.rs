//! The statements that count, reset and check failures agree with the pure rule, in any sequence of failures and
//! successes.

use chrono::{DateTime, TimeDelta, Utc};
use device_management::domain::challenges::{Acceptance, ChallengeId, ChallengeRules, WrongSignature};
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::failure_budget::{FailureBudget, FailureRun};
use device_management::domain::id::NumberId;
use device_management::store::{Accepted, AddedKey, CodeAnswer, NewKey, NumberVerification, TypedCode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{
    DONE, OVERTAKEN, TestStore, Written, acceptance, acme, binding, device_id, fresh_id, key, key_id, now, number,
    person, record,
};
use crate::harness::in_every_form;

in_every_form![the_store_counts_pauses_and_resets_failures_as_the_pure_rule_does];

/// An action of a person that can fail or succeed.
#[derive(Clone, Copy, Debug)]
enum Try {
    WrongSignatureForKey,
    WrongSignatureForDevice,
    WrongCode,
    RightSignatureForKey,
    RightSignatureForDevice,
    RightToken,
}

/// Failures are three times as likely as successes, so that runs reach the cap.
fn tries() -> impl Strategy<Value = Try> {
    prop_oneof![
        3 => Just(Try::WrongSignatureForKey),
        3 => Just(Try::WrongSignatureForDevice),
        3 => Just(Try::WrongCode),
        1 => Just(Try::RightSignatureForKey),
        1 => Just(Try::RightSignatureForDevice),
        1 => Just(Try::RightToken),
    ]
}

/// Milliseconds between tries: short, around the window and the pause, and sometimes negative.
fn gaps() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0_i64..=30_000, 2 => 59_000_i64..=61_000, 2 => 89_000_i64..=91_000, 1 => -200_000_i64..=0]
}

/// A person whose failures are counted both by the store and by the pure rule.
struct Counted<'a> {
    it: &'a TestStore,
    budget: FailureBudget,
    expected: FailureRun,
    seed: u32,
}

async fn the_store_counts_pauses_and_resets_failures_as_the_pure_rule_does(it: TestStore) {
    let ada = person("ada");
    let id = NumberId::from(fresh_id());
    let asserted = NumberVerification::AssertedBy("client");
    it.create_mobile_number(&acme(), &ada, (id, &number()), asserted, now(), &record()).await.unwrap();
    it.bind(&acme(), &binding(&ada, 0)).await;
    let mut counted = Counted {
        it: &it,
        budget: FailureBudget { cap: 1, ..super::BUDGET },
        expected: FailureRun::default(),
        seed: 0,
    };
    let mut runner = TestRunner::deterministic();
    let mut at = now();
    let mut paused = 0;
    for cap in [1, 2, 5] {
        counted.budget = FailureBudget { cap, window: TimeDelta::seconds(60), cool_down: TimeDelta::seconds(90) };
        let steps = vec((tries(), gaps()), 120).new_tree(&mut runner).unwrap().current();
        for (step, gap) in steps {
            at += TimeDelta::milliseconds(gap);
            paused += u32::from(counted.budget.pause(counted.expected, at).is_some());
            counted.make(step, at).await;
            let found = it.failures(&acme(), &ada).await.unwrap();
            assert_eq!(found, counted.expected, "cap {cap}, {step:?} at {at}");
        }
    }
    assert!((50..300).contains(&paused), "{paused} of 360 tries came during a pause");
}

impl Counted<'_> {
    async fn make(&mut self, step: Try, at: DateTime<Utc>) {
        self.seed += 1;
        let (ada, budget, is_paused) = (person("ada"), self.budget, self.budget.pause(self.expected, at).is_some());
        let (it, seed) = (self.it, self.seed);
        let mut attempt = binding(&ada, seed);
        (attempt.life.created_at, attempt.life.expires_at) = (at, at + TimeDelta::minutes(5));
        let outcome = |value| if is_paused { Written::Overtaken } else { Written::Done(value) };
        match step {
            Try::WrongSignatureForKey => {
                let counted = it.count_failure(&acme(), &ada, at, &budget, &record()).await.unwrap();
                assert_eq!(counted, if is_paused { OVERTAKEN } else { DONE }, "{at}");
            }
            Try::WrongSignatureForDevice => {
                it.open(&acme(), &attempt).await;
                let wrong = WrongSignature { id: attempt.id, at, rules: self.rules(), activation: None };
                let counted = it.count_wrong_signature(&acme(), &wrong, &record()).await.unwrap();
                assert_eq!(counted, outcome(1), "{at}");
            }
            Try::WrongCode => {
                let token = self.open_token(at).await;
                let counted = it.count_wrong_code(&acme(), &ada, &token, &record()).await.unwrap();
                assert_eq!(counted, outcome(1), "{at}");
            }
            Try::RightSignatureForKey => {
                let key = NewKey {
                    id: key_id(10_000 + seed),
                    device_id: device_id(0),
                    person_id: ada.clone(),
                    public_key: key(10_000 + seed),
                    purpose: KeyPurpose::Unrestricted,
                    signed_by: key_id(0),
                    at,
                    key_limit: 1000,
                    budget,
                };
                let added = it.add_key(&acme(), &key, &record()).await.unwrap();
                assert_eq!(added, if is_paused { AddedKey::Overtaken } else { AddedKey::Added }, "{at}");
            }
            Try::RightSignatureForDevice => {
                it.open(&acme(), &attempt).await;
                let right = Acceptance { at, device_limit: 1000, rules: self.rules(), ..acceptance(&attempt) };
                let accepted = it.accept_binding(&acme(), &right, &record()).await.unwrap();
                assert_eq!(accepted, if is_paused { Accepted::Overtaken } else { Accepted::Bound }, "{at}");
            }
            Try::RightToken => {
                let token = self.open_token(at).await;
                let confirmed = it.confirm_mobile_number(&acme(), &ada, &token, &record()).await.unwrap();
                assert_eq!(confirmed, if is_paused { OVERTAKEN } else { DONE }, "{at}");
            }
        }
        self.expected = match step {
            Try::WrongSignatureForKey | Try::WrongSignatureForDevice | Try::WrongCode => {
                budget.after_failure(self.expected, at)
            }
            _ if is_paused => self.expected,
            _ => FailureRun::default(),
        };
    }

    fn rules(&self) -> ChallengeRules {
        ChallengeRules { wrong_answers_cap: 3, budget: self.budget }
    }

    async fn open_token(&self, at: DateTime<Utc>) -> CodeAnswer {
        let id = ChallengeId::from(fresh_id());
        let code = TypedCode { id, otp_version: 1, expires_at: at + TimeDelta::minutes(5) };
        let ada = person("ada");
        assert_eq!(self.it.open_number_code(&acme(), &ada, &number(), code, None, &record()).await.unwrap(), DONE);
        CodeAnswer { id, at, rules: self.rules() }
    }
}
