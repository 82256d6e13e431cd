//! Fraud assessments are recorded in the transaction of the write that followed them, or not at all.

use chrono::TimeDelta;
use device_management::domain::challenges::Acceptance;
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::fraud::FraudAssessment;
use device_management::store::{Accepted, AddedKey, NewKey};

use super::{
    BUDGET, DONE, OVERTAKEN, TestStore, acceptance, acme, assessed, assessment, binding, device_id, key, key_id, now,
    person,
};
use crate::harness::{books, in_every_form};

in_every_form![
    an_assessment_is_recorded_unchanged,
    an_assessment_is_recorded_only_if_the_binding_opens,
    an_assessment_is_recorded_only_if_the_device_is_bound,
    an_assessment_is_recorded_only_if_the_key_is_added,
];

async fn an_assessment_is_recorded_unchanged(it: TestStore) {
    let ada = person("ada");
    let full = assessment(&binding(&ada, 1));
    let bare = FraudAssessment {
        score: None,
        provider_id: None,
        allowed: false,
        state: "timeout",
        ..assessment(&binding(&ada, 2))
    };
    it.record(&acme(), &assessed(full)).await.unwrap();
    it.record(&acme(), &assessed(bare)).await.unwrap();
    let as_it_was = "select count(*) from fraud_assessment
                      where partner_id = 'acme' and person_id = 'ada' and action = 'device_verification'
                        and state = 'approve' and score = 12.5 and provider_id = 'assessment-1' and latency_ms = 42
                        and allowed = 'yes'";
    assert_eq!(books::count(&it.database, as_it_was).await, 1);
    let without_verdict = "select count(*) from fraud_assessment
                            where state = 'timeout' and score is null and provider_id is null and allowed = 'no'";
    assert_eq!(books::count(&it.database, without_verdict).await, 1);
}

async fn an_assessment_is_recorded_only_if_the_binding_opens(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    for (person, seed, opens) in [(&ada, 1, DONE), (&ada, 2, DONE), (&bob, 3, OVERTAKEN)] {
        let (attempt, before) = (binding(person, seed), recorded(&it).await);
        let record = assessed(assessment(&attempt));
        assert_eq!(it.open_binding(&acme(), &attempt, None, &record).await.unwrap(), opens);
        assert_eq!(recorded(&it).await - before, i64::from(opens == DONE));
    }
}

async fn an_assessment_is_recorded_only_if_the_device_is_bound(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    let accept = async |attempt: &_, acceptance: &Acceptance| {
        it.accept_binding(&acme(), acceptance, &assessed(assessment(attempt))).await.unwrap()
    };

    let first = binding(&ada, 1);
    it.open(&acme(), &first).await;
    assert_eq!(accept(&first, &acceptance(&first)).await, Accepted::Bound);
    assert_eq!(recorded(&it).await, 1);

    let mut same_key = binding(&bob, 2);
    same_key.public_key = key(1);
    it.open(&acme(), &same_key).await;
    let one_too_many = binding(&ada, 3);
    it.open(&acme(), &one_too_many).await;
    let full = Acceptance { device_limit: 1, ..acceptance(&one_too_many) };
    assert_eq!(accept(&first, &acceptance(&first)).await, Accepted::Overtaken);
    assert_eq!(accept(&same_key, &acceptance(&same_key)).await, Accepted::KeyTaken);
    assert_eq!(accept(&one_too_many, &full).await, Accepted::Overtaken);
    assert_eq!(recorded(&it).await, 1);
}

async fn an_assessment_is_recorded_only_if_the_key_is_added(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let device = binding(&ada, 1);
    it.bind(&acme(), &device).await;
    let new_key = |seed, key_limit| NewKey {
        id: key_id(seed),
        device_id: device_id(1),
        person_id: person("ada"),
        public_key: key(seed),
        purpose: KeyPurpose::Restricted,
        signed_by: key_id(1),
        at: now() + TimeDelta::seconds(2),
        key_limit,
        budget: BUDGET,
    };
    let taken = NewKey { public_key: key(1), ..new_key(12, 10) };
    let nowhere = NewKey { device_id: device_id(2), ..new_key(13, 10) };
    for (expected, wanted) in [
        (AddedKey::Added, new_key(11, 10)),
        (AddedKey::KeyTaken, taken),
        (AddedKey::Overtaken, nowhere),
        (AddedKey::KeyLimit, new_key(14, 2)),
    ] {
        let before = recorded(&it).await;
        assert_eq!(it.add_key(&acme(), &wanted, &assessed(assessment(&device))).await.unwrap(), expected);
        assert_eq!(recorded(&it).await - before, i64::from(expected == AddedKey::Added), "{expected:?}");
    }
}

async fn recorded(it: &TestStore) -> i64 {
    books::count(&it.database, "select count(*) from fraud_assessment").await
}
