//! Person, object and country of the events of each action, including those of the operator's commands.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use device_management::domain::audit::{ACCEPTED, AuditAction};
use device_management::domain::challenges::ChallengeKind;
use device_management::domain::clients::Permissions;
use device_management::domain::numbers::country::Country;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::domain::sms::conversion::Destination;
use device_management::service::{ClientRegistry, ConversionBook, PersonErasure};
use serde_json::json;
use uuid::Uuid;

use super::{DEVICES, new_events, request_body};
use crate::activation_codes::{activation_wish, delivery_event};
use crate::harness::{ACTIVATION_CODES, NUMBER, Phone, TestApp, books, on_both_databases, sql};

on_both_databases![
    each_action_names_person_and_object,
    a_challenge_that_is_over_names_its_person,
    a_deleted_device_names_its_person,
    each_operator_command_writes_an_event,
];

/// Events of refused operator commands.
pub(super) const OPERATOR_REFUSED: [&str; 2] = ["client.revoked revoked", "client.rotated revoked"];

/// Whether an event has a person, an object or a country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    Always,
    Never,
    /// If the partner has a device or a challenge with the event's `object_id`.
    IfItExists,
}
use Names::{Always, IfItExists, Never};

/// Person, object and country of an event. The match is exhaustive, so a new action needs a row here.
fn names(action: AuditAction, outcome: &str) -> [Names; 3] {
    match action {
        AuditAction::ChallengeAsked(ChallengeKind::Binding | ChallengeKind::Sms) | AuditAction::ActivationAsked => {
            [Always, Always, Never]
        }
        AuditAction::ChallengeAsked(ChallengeKind::Device)
        | AuditAction::ChallengeAnswered(ChallengeKind::Binding | ChallengeKind::Device | ChallengeKind::Sms)
        | AuditAction::ActivationDeleted
        | AuditAction::DeliveryReported
        | AuditAction::KeyAdded
        | AuditAction::DeviceDeleted => [IfItExists, Always, Never],
        // A refusal has no number to name.
        AuditAction::NumberCreated | AuditAction::NumberAsserted => {
            [Always, if matches!(outcome, ACCEPTED | "exists") { Always } else { Never }, Never]
        }
        AuditAction::ChallengeAsked(ChallengeKind::Number)
        | AuditAction::ChallengeAnswered(ChallengeKind::Number)
        | AuditAction::NumberDeleted => [Always, if outcome == "not_found" { Never } else { Always }, Never],
        // For an erased person, the object is the id that replaces theirs.
        AuditAction::ClientCreated
        | AuditAction::ClientRotated
        | AuditAction::ClientRevoked
        | AuditAction::PersonErased => [Never, Always, Never],
        AuditAction::SmsResumed => [Never, Never, Always],
    }
}

/// Events without a person although their object is a device or a challenge of the partner.
const NAMELESS: &str = "select count(*) from audit_pending a
                         where a.person_id is null
                           and (exists (select 1 from device d
                                         where d.partner_id = a.partner_id and d.device_id = a.object_id)
                                or exists (select 1 from person p
                                            where p.partner_id = a.partner_id and p.binding_id = a.object_id)
                                or exists (select 1 from challenge c
                                            where c.partner_id = a.partner_id and c.challenge_id = a.object_id))";

/// Checks every pending event against `names`.
pub(super) async fn assert_named(app: &TestApp) {
    let flags =
        ["person_id", "object_id", "country"].map(|name| format!("case when {name} is null then 'no' else 'yes' end"));
    let query = format!("select action || ' ' || outcome || ' ' || {} from audit_pending", flags.join(" || ' ' || "));
    for row in sql::texts(app.database.url(), &query).await {
        let words: Vec<&str> = row.split(' ').collect();
        let [action, outcome, found @ ..] = &words[..] else { panic!("{row}") };
        let action = AuditAction::all().find(|known| known.as_str() == *action).expect("a known action");
        for ((name, expected), found) in ["person", "object", "country"].iter().zip(names(action, outcome)).zip(found) {
            let is_as_expected = match expected {
                Always => *found == "yes",
                Never => *found == "no",
                IfItExists => true,
            };
            assert!(is_as_expected, "{row}: {name} is {expected:?}, found: {found}");
        }
    }
    assert_eq!(books::count(&app.database, NAMELESS).await, 0, "events of devices and challenges name the person");
}

fn acme() -> PartnerId {
    PartnerId::parse("acme").unwrap()
}

/// The operator's commands, with the service's clock and randomness.
struct Operator<'a>(&'a TestApp);

impl Operator<'_> {
    fn clients(&self) -> ClientRegistry<'_> {
        let service = &self.0.app.service;
        ClientRegistry { store: self.0.store(), clock: &*service.clock, entropy: &*service.entropy }
    }

    async fn resume(&self) {
        let service = &self.0.app.service;
        let book = ConversionBook {
            store: self.0.store(),
            clock: &*service.clock,
            entropy: &*service.entropy,
            policy: &service.policy,
        };
        book.resume(&Destination { partner: acme(), country: Country::parse("DE").unwrap() }).await.unwrap();
    }

    async fn erase(&self, person: &str) {
        let service = &self.0.app.service;
        let erasure = PersonErasure { store: self.0.store(), clock: &*service.clock, entropy: &*service.entropy };
        erasure.erase(&acme(), &PersonId::parse(person).unwrap()).await.unwrap().expect("the person exists");
    }
}

async fn each_action_names_person_and_object(app: TestApp) {
    let (acme, operator) = (app.partner(), Operator(&app));
    let number = "/v1/persons/ada/mobile_number";
    acme.post(number, json!({"number": NUMBER})).await.assert_status(201);
    acme.post(&format!("{number}/authorize"), json!({"number": NUMBER})).await.assert_status(201);
    let token = json!({"number": NUMBER, "token": app.outbox().last().code()});
    acme.post(&format!("{number}/confirm"), token).await.assert_status(201);
    acme.verified_person("bob").await;
    let phone = Phone::new(1);
    let device = format!("{DEVICES}/{}", acme.bind("ada", &phone).await.id);
    acme.post(&format!("{device}/keys"), phone.vouch_for(&Phone::new(2))).await.assert_status(201);
    let challenge = acme.challenge(device.rsplit('/').next().unwrap()).await;
    acme.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
    let sms = acme.sms_challenge("ada").await;
    acme.type_code(&sms.id, &sms.code).await.assert_status(204);
    let code = acme.post(ACTIVATION_CODES, activation_wish("ada")).await.assert_status(201).json();
    let code = format!("{ACTIVATION_CODES}/{}", code["id"].as_str().unwrap());
    acme.post(&format!("{code}/delivery_events"), delivery_event()).await.assert_status(201);
    acme.delete(&code).await.assert_status(200);
    acme.delete(&device).await.assert_status(204);
    acme.delete(number).await.assert_status(200);
    let client = operator.clients().create(self::acme(), None, Permissions::default()).await.unwrap().client_id;
    assert!(operator.clients().rotate(&client, TimeDelta::hours(1)).await.unwrap().is_some());
    assert!(operator.clients().revoke(&client).await.unwrap());
    operator.resume().await;
    let mut seen: BTreeSet<String> = new_events(&app).await.into_iter().collect();
    // Last, because it removes the person from the events.
    operator.erase("ada").await;
    seen.extend(new_events(&app).await);
    let all: BTreeSet<String> = AuditAction::all().map(|action| format!("{} accepted", action.as_str())).collect();
    assert_eq!(seen, all);
}

/// `action outcome person` of every event since the last call, sorted.
async fn new_events_with_person(app: &TestApp) -> Vec<String> {
    let query = "select action || ' ' || outcome || ' ' || coalesce(person_id, '-') from audit_pending";
    let mut events = sql::texts(app.database.url(), query).await;
    events.sort();
    new_events(app).await;
    events
}

async fn a_challenge_that_is_over_names_its_person(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await.id;
    let bound = acme.bind("ada", &phone).await.id;
    let open = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let sms = acme.sms_challenge("ada").await;
    app.advance(TimeDelta::minutes(6));
    new_events(&app).await;
    let acme = app.partner();
    // Superseded and deleted; answered; expired, also with a malformed body; unknown.
    for id in [asked, bound, open.clone()] {
        acme.answer(&id, &phone.sign("late")).await.assert_status(404);
    }
    acme.put(&format!("/v1/mfa/challenges/signatures/{open}"), json!({})).await.assert_status(404);
    acme.answer(&Uuid::nil().to_string(), &phone.sign("late")).await.assert_status(404);
    acme.type_code(&sms.id, &sms.code).await.assert_status(404);
    let expected = ["-", "-", "ada", "ada", "ada"].map(|person| format!("binding.answered not_open {person}"));
    let expected = [&expected[..], &["sms_challenge.answered not_open ada".to_owned()]].concat();
    assert_eq!(new_events_with_person(&app).await, expected);
}

async fn a_deleted_device_names_its_person(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let device = format!("{DEVICES}/{}", acme.bind("ada", &Phone::new(1)).await.id);
    new_events(&app).await;
    acme.delete(&device).await.assert_status(204);
    acme.delete(&device).await.assert_status(404);
    acme.post(&format!("{device}/keys"), Phone::new(1).vouch_for(&Phone::new(2))).await.assert_status(404);
    acme.delete(&format!("{DEVICES}/{}", Uuid::nil())).await.assert_status(404);
    let salted = "select count(*) from audit_pending where action = 'device.deleted'
                    and length(person_salt) = 16 and length(person_digest) = 32";
    assert_eq!(books::count(&app.database, salted).await, 2);
    let expected = [
        "device.deleted accepted ada",
        "device.deleted not_found -",
        "device.deleted not_found ada",
        "key.added not_found ada",
    ];
    assert_eq!(new_events_with_person(&app).await, expected);
    acme.post(DEVICES, request_body("ada", 1)).await.assert_status(202);
}

async fn each_operator_command_writes_an_event(app: TestApp) {
    let operator = Operator(&app);
    let client = operator.clients().create(acme(), None, Permissions::default()).await.unwrap().client_id;
    for _ in 0..2 {
        operator.clients().revoke(&client).await.unwrap();
    }
    assert!(operator.clients().rotate(&client, TimeDelta::zero()).await.unwrap().is_none());
    // An unknown client has no partner, so no trail gets an event.
    assert!(!operator.clients().revoke("unknown-client").await.unwrap());
    operator.resume().await;
    let query =
        "select partner_id || ' ' || client_id || ' ' || action || ' ' || outcome || ' ' || coalesce(country, '-')
                   from audit_pending order by action, outcome";
    let expected = [
        "acme operator client.created accepted -",
        "acme operator client.revoked accepted -",
        "acme operator client.revoked revoked -",
        "acme operator client.rotated revoked -",
        "acme operator sms.resumed accepted DE",
    ];
    assert_eq!(sql::texts(app.database.url(), query).await, expected);
    let mut refused = new_events(&app).await;
    refused.retain(|event| !event.ends_with("accepted"));
    assert_eq!(refused, OPERATOR_REFUSED);
}
