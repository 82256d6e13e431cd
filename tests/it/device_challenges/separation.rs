//! One key signs several kinds of messages: codes, new keys, challenges, approvals and declines. A signature that was made
//! for one kind never counts for another (docs/api-design.md#the-text-to-sign).

use proptest::prelude::*;
use serde_json::json;

use super::{assert_wrong, bound};
use crate::activation_codes::{activation_code, ask_by_letter};
use crate::harness::{Answer, DEVICE_CHALLENGES, OpenChallenge, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![a_signature_for_one_kind_of_message_never_counts_for_another];

/// Every kind of message that a phone signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Code,
    ActivationCode,
    NewKey,
    NewKeyBytes,
    Challenge,
    Approval,
    DeclinedChallenge,
    DeclinedApproval,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Code,
        Self::ActivationCode,
        Self::NewKey,
        Self::NewKeyBytes,
        Self::Challenge,
        Self::Approval,
        Self::DeclinedChallenge,
        Self::DeclinedApproval,
    ];
}

/// The phones of a scene, all with keys of their own.
const OWNER: u32 = 1;
const BY_SMS: u32 = 2;
const BY_LETTER: u32 = 3;
const NEW: u32 = 4;

/// A bound device with an open challenge and an open approval, and pending devices of two more persons, one by SMS and one
/// by letter: a message of each kind waits to be signed.
struct Scene {
    client: TestClient,
    device: String,
    challenge: OpenChallenge,
    approval: OpenChallenge,
    by_sms: String,
    code: String,
    by_letter: String,
    activation_code: String,
}

impl Scene {
    async fn set(app: &TestApp, number: usize) -> Self {
        let client = app.partner();
        let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| format!("{name}-{number}"));
        let device = bound(&client, &ada, &phone(number, OWNER)).await;
        let challenge = client.challenge(&device).await;
        let wish = json!({"device_id": device, "approval": {"action": "card-limit"}});
        let opened = client.post(DEVICE_CHALLENGES, wish).await.assert_status(201).json();
        let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
        let approval = OpenChallenge { id: text("id"), text: text("string_to_sign") };
        client.verified_person(&bob).await;
        let by_sms = client.ask_for_device(&bob, &phone(number, BY_SMS)).await.id;
        let code = app.outbox().last().code();
        let activation_code = activation_code(&client, &eve).await.code;
        let by_letter = ask_by_letter(&client, &eve, &phone(number, BY_LETTER)).await;
        Self { client, device, challenge, approval, by_sms, code, by_letter, activation_code }
    }

    /// The bytes of a message.
    fn message(&self, number: usize, kind: Kind) -> Vec<u8> {
        let new_key = phone(number, NEW).key();
        match kind {
            Kind::Code => self.code.clone().into_bytes(),
            Kind::ActivationCode => self.activation_code.clone().into_bytes(),
            Kind::NewKey => new_key.into_bytes(),
            Kind::NewKeyBytes => hex::decode(new_key).expect("a key is in hex"),
            Kind::Challenge => self.challenge.text.clone().into_bytes(),
            Kind::Approval => self.approval.text.clone().into_bytes(),
            Kind::DeclinedChallenge => self.challenge.declining().into_bytes(),
            Kind::DeclinedApproval => self.approval.declining().into_bytes(),
        }
    }

    /// Sends a signature over `message` to the place where one over a message of `kind` belongs.
    async fn send(&self, number: usize, kind: Kind, message: &[u8]) -> Answer {
        let signer = match kind {
            Kind::Code => BY_SMS,
            Kind::ActivationCode => BY_LETTER,
            _ => OWNER,
        };
        let signature = phone(number, signer).sign_bytes(message);
        let binding = |id: &str| format!("/v1/mfa/challenges/signatures/{id}");
        let challenge = |id: &str| format!("{DEVICE_CHALLENGES}/{id}");
        let approved = json!({"signature": signature});
        let declined = json!({"signature": signature, "decision": "declined"});
        match kind {
            Kind::Code => self.client.put(&binding(&self.by_sms), approved).await,
            Kind::ActivationCode => self.client.put(&binding(&self.by_letter), approved).await,
            Kind::NewKey | Kind::NewKeyBytes => {
                let by = json!({"signature_key_purpose": "unrestricted", "signature": signature});
                let body = json!({"key": phone(number, NEW).key(), "key_type": "ecdsa-p256", "device_signature": by});
                self.client.post(&format!("/v1/mfa/devices/{}/keys", self.device), body).await
            }
            Kind::Challenge => self.client.put(&challenge(&self.challenge.id), approved).await,
            Kind::Approval => self.client.put(&challenge(&self.approval.id), approved).await,
            Kind::DeclinedChallenge => self.client.put(&challenge(&self.challenge.id), declined).await,
            Kind::DeclinedApproval => self.client.put(&challenge(&self.approval.id), declined).await,
        }
    }
}

fn phone(number: usize, which: u32) -> Phone {
    Phone::new(10_000 + 10 * u32::try_from(number).expect("a small number") + which)
}

async fn a_signature_for_one_kind_of_message_never_counts_for_another(app: TestApp) {
    // The two forms of a new key are both accepted where a key is added.
    let is_same = |one: Kind, other: Kind| {
        let is_key = |kind| matches!(kind, Kind::NewKey | Kind::NewKeyBytes);
        one == other || (is_key(one) && is_key(other))
    };
    let mut number = 0;
    for expected in Kind::ALL {
        let others: Vec<Kind> = Kind::ALL.into_iter().filter(|other| !is_same(expected, *other)).collect();
        // Two wrong signatures leave each challenge open for the right one.
        for wrong in others.chunks(2) {
            number += 1;
            let scene = Scene::set(&app, number).await;
            for other in wrong {
                assert_wrong(&scene.send(number, expected, &scene.message(number, *other)).await);
            }
            let answer = scene.send(number, expected, &scene.message(number, expected)).await;
            assert!(answer.status.is_success(), "{expected:?}: {}", answer.status);
        }
    }
}

/// What the first line of each text of a device challenge begins with.
const PREFIX: &str = "device-management/";

fn is_text_of_a_challenge(message: &[u8]) -> bool {
    message.starts_with(PREFIX.as_bytes())
}

proptest! {
    #[test]
    fn no_code_and_no_key_begins_like_the_text_of_a_challenge(
        code in "[0-9]{6}", letters in "[0-9a-z]{12}", seed: u32,
    ) {
        let key = Phone::new(seed).key();
        let bytes = hex::decode(&key).expect("a key is in hex");
        for message in [code.as_bytes(), letters.as_bytes(), key.as_bytes(), key.to_uppercase().as_bytes(), &bytes] {
            prop_assert!(!is_text_of_a_challenge(message));
        }
        // Codes, activation codes and keys are told apart by their lengths.
        let lengths = [code.len(), letters.len(), key.len(), bytes.len()];
        prop_assert_eq!(lengths, [6, 12, 130, 65]);
    }
}

#[test]
fn the_three_headings_of_texts_differ_in_their_first_line() {
    use device_management::domain::challenges::signing_text::{APPROVAL_HEADING, CHALLENGE_HEADING, DECLINE_HEADING};
    let headings = [CHALLENGE_HEADING, APPROVAL_HEADING, DECLINE_HEADING];
    for (place, heading) in headings.iter().enumerate() {
        assert!(is_text_of_a_challenge(heading.as_bytes()) && !heading.contains('\n'), "{heading}");
        assert!(headings[..place].iter().all(|other| other != heading), "{heading}");
    }
}
