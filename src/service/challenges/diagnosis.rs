//! Diagnoses of wrong answers, in the sandbox only: which known mistake was made (docs/sandbox.md#diagnoses).
//!
//! A diagnosis is made after the refusal is committed, from further reads. The audit trail, the stored outcome, metrics
//! and limits are the same with and without it, and a read that fails costs the diagnosis alone.

use std::sync::Arc;

use crate::crypto::{Aspect, DerSignature, Diagnosis, Otp, PublicKey, SuspectKey, SuspectText, diagnose};
use crate::domain::approvals::Approval;
use crate::domain::challenges::{ActivationFilter, Binding, DeviceChallenge};
use crate::domain::devices::DeviceWithKeys;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::DeviceId;
use crate::domain::person::{PartnerId, PersonId};
use crate::sandbox::{InboxFilter, InboxMessage, MessagePurpose, Sandbox};
use crate::service::audit::scope::Settled;
use crate::service::challenges::answer::Answering;
use crate::service::{AddKey, DeviceAnswer, OneTimeCodes, Refusal, Service};
use crate::sms::CodePurpose;
use crate::store::{ActivationQuery, DeviceQuery, PageStart, Tombstones};

/// How many messages of the person are examined.
const MESSAGES: usize = 20;

/// How many devices and activation codes of the person are examined.
const PAGE: i64 = 20;

/// What a diagnosis is made from.
#[derive(Clone, Copy)]
pub(in crate::service) struct Investigation<'a> {
    service: &'a Service,
    sandbox: &'a Sandbox,
    partner: &'a PartnerId,
}

impl Service {
    /// Adds the diagnosis to the refusal of a wrong answer. In production the refusal stays as it is.
    pub(in crate::service) async fn with_diagnosis<K: Answering>(
        &self,
        kind: &K,
        challenge: &K::Challenge,
        answer: &K::Answer,
        partner: &PartnerId,
        settled: Settled<K::Done>,
    ) -> Settled<K::Done> {
        let Some(sandbox) = &self.sandbox else { return settled };
        let Settled::Refused(refusal) = settled else { return settled };
        let investigation = Investigation { service: self, sandbox, partner };
        Settled::Refused(match kind.diagnose(investigation, challenge, answer).await {
            Some(diagnosis) => Refusal::Diagnosed(Box::new(refusal), diagnosis),
            None => refusal,
        })
    }
}

const fn right(says: &'static str) -> Aspect {
    Aspect { says, remedy: "" }
}

const fn wrong(says: &'static str, remedy: &'static str) -> Aspect {
    Aspect { says, remedy }
}

const SIGN_CODE: &str = "sign the code that the person received, and nothing else";
const SIGN_NEWEST: &str = "sign the code that belongs to this challenge: only the newest one works";
const SIGN_TEXT: &str = "sign the whole string_to_sign exactly as received";
const SIGN_NEW_KEY: &str = "sign the hex text of the new key exactly as sent in key";
const RIGHT_KEY: Aspect = right("");
const OTHER_DEVICE: Aspect = wrong(
    "by a key of another device of the person",
    "sign with the private key of this device: keep key and device id together",
);
const OTHER_PURPOSE: Aspect = wrong(
    "by a key of the device that has the other purpose",
    "sign with a key of the purpose that the challenge or signature_key_purpose names",
);
const NOTHING: Aspect = wrong("an empty text", "give the text to the signing call before it signs");

impl Investigation<'_> {
    /// A wrong signature for a binding.
    pub(super) async fn of_binding(self, binding: &Binding, signature: &DerSignature) -> Option<Diagnosis> {
        let (codes, person) = (&self.service.codes, &binding.person_id);
        let mut texts = vec![match binding.activation {
            Some(code) => {
                let code = codes.activation_code(binding.otp_version, code).ok()?;
                text(right("the activation code"), code.expose())
            }
            None => text(right("the code"), codes.code(binding.otp_version, binding.id).ok()?.expose()),
        }];
        let messages = self.messages(person);
        let earlier = wrong("the code of another message to the person", SIGN_NEWEST);
        texts.extend(messages.iter().filter_map(|message| Some(text(earlier, message.code.as_deref()?))));
        if binding.activation.is_some() {
            texts.extend(self.activation_codes(person).await);
        }
        let whole = wrong("the whole text of the message", SIGN_CODE);
        texts.extend(messages.iter().map(|message| text(whole, message.text.trim_end())));
        texts.push(text(wrong("the id of the challenge", SIGN_CODE), &binding.id.to_string()));
        texts.push(text(wrong("the public key", SIGN_CODE), &hex::encode(binding.public_key.as_bytes())));
        texts.push(bytes(wrong("the bytes of the public key", SIGN_CODE), binding.public_key.as_bytes()));
        texts.push(text(wrong("the id of the person", SIGN_CODE), person.as_str()));
        texts.push(text(NOTHING, ""));
        let mut keys = vec![key(RIGHT_KEY, &binding.public_key)];
        keys.extend(self.keys(person, |_, _| OTHER_DEVICE).await);
        diagnose(signature, &texts, &keys)
    }

    /// A wrong signature for a challenge of a bound device.
    pub(super) async fn of_device_challenge(
        self,
        challenge: &DeviceChallenge,
        answer: &DeviceAnswer,
    ) -> Option<Diagnosis> {
        let (approving, declining) = (&challenge.text, challenge.text.declining());
        let expected = answer.text(challenge);
        let mut texts = vec![text(right("string_to_sign"), expected.as_str())];
        if expected == declining {
            texts = vec![text(right("the declining text"), expected.as_str())];
            let says = "string_to_sign, which approves";
            texts.push(text(
                wrong(says, "to decline, sign the text with the first line of a decline"),
                approving.as_str(),
            ));
        } else {
            let remedy = "to approve, sign string_to_sign unchanged; to decline, send the decision declined";
            texts.push(text(wrong("the text that declines", remedy), declining.as_str()));
        }
        let nonce = approving.as_str().lines().find_map(|line| line.strip_prefix("nonce: ")).unwrap_or_default();
        texts.push(text(wrong("the nonce alone", SIGN_TEXT), nonce));
        texts.push(text(wrong("the id of the challenge", SIGN_TEXT), &challenge.id.to_string()));
        let approval = challenge.approval.as_ref().map(Approval::to_json);
        texts.extend(approval.map(|json| text(wrong("the approval as JSON", SIGN_TEXT), &json)));
        texts.push(text(NOTHING, ""));
        let mut keys: Vec<_> = challenge.keys.iter().map(|(_, public_key)| key(RIGHT_KEY, public_key)).collect();
        let others = |device, _| if device == challenge.device_id { OTHER_PURPOSE } else { OTHER_DEVICE };
        keys.extend(self.keys(&challenge.person_id, others).await);
        diagnose(&answer.signature, &texts, &keys)
    }

    /// A wrong signature over a new key of a device.
    pub(in crate::service) async fn of_new_key(self, found: &DeviceWithKeys, request: &AddKey) -> Option<Diagnosis> {
        let (new, id) = (request.key.as_bytes(), found.device.id);
        let signer = found.keys.iter().find(|key| key.purpose == request.signing_key_purpose)?;
        let own = hex::encode(signer.public_key.as_bytes());
        let texts = vec![
            bytes(right("the bytes of the new key"), new),
            text(right("the new key"), &request.key_text),
            bytes(wrong("X and Y of the new key without 04", SIGN_NEW_KEY), &new[1..]),
            bytes(wrong("the new key with its header (SubjectPublicKeyInfo)", SIGN_NEW_KEY), &request.key.to_spki()),
            text(wrong("the key that signs", SIGN_NEW_KEY), &own),
            text(wrong("the id of the device", SIGN_NEW_KEY), &id.to_string()),
            text(NOTHING, ""),
        ];
        let is_right = |purpose| purpose == request.signing_key_purpose;
        let (candidates, others) = found.keys.iter().partition::<Vec<_>, _>(|key| is_right(key.purpose));
        let mut keys: Vec<_> = candidates.into_iter().map(|found| key(RIGHT_KEY, &found.public_key)).collect();
        let itself = wrong("by the new key itself", "sign with a key that the device already has");
        keys.push(key(itself, &request.key));
        keys.extend(others.into_iter().map(|found| key(OTHER_PURPOSE, &found.public_key)));
        let elsewhere = |device, _| if device == id { OTHER_PURPOSE } else { OTHER_DEVICE };
        keys.extend(self.keys(&found.device.person_id, elsewhere).await);
        diagnose(&request.signature, &texts, &keys)
    }

    /// A wrong code that a person typed.
    pub(super) fn of_typed_code(self, person: &PersonId, purpose: CodePurpose, typed: &Otp) -> Option<Diagnosis> {
        let typed = typed.expose();
        let messages = self.messages(person);
        let mut sent = messages.iter().filter(|message| message.code.as_deref() == Some(typed));
        let aspect = match (sent.next().map(|message| message.purpose), &self.service.codes) {
            (Some(MessagePurpose::Code(found)), _) if found == purpose => wrong(
                "it is the code of an earlier challenge",
                "type the code of the newest message: it ends the others",
            ),
            (Some(_), _) => wrong(
                "it is a code for another purpose",
                "type the code of the message that was sent for this challenge",
            ),
            (None, OneTimeCodes::Fixed(_)) => {
                wrong("it is not the fixed code of this sandbox", "type 212212, or the code of the setting SANDBOX_OTP")
            }
            (None, OneTimeCodes::Derived(_)) => return None,
        };
        Some(Diagnosis::of(aspect))
    }

    /// The person's latest messages, newest first.
    fn messages(self, person: &PersonId) -> Vec<Arc<InboxMessage>> {
        let filter = InboxFilter { person_id: Some(person.clone()), to: None };
        let mut messages = self.sandbox.inbox.list(self.partner, &filter);
        messages.truncate(MESSAGES);
        messages
    }

    /// The person's activation codes, newest first.
    async fn activation_codes(self, person: &PersonId) -> Vec<SuspectText> {
        let query = ActivationQuery {
            filter: ActivationFilter { person_id: Some(person.clone()), ..ActivationFilter::default() },
            start: PageStart::Skipping(0),
            limit: PAGE,
        };
        let Ok(page) = self.service.store.activations(self.partner, &query).await else { return Vec::new() };
        let name = wrong("another activation code of the person", SIGN_NEWEST);
        let codes = page.entries.iter().filter_map(|entry| {
            let code = self.service.codes.activation_code(entry.otp_version, entry.id).ok()?;
            Some(text(name, code.expose()))
        });
        codes.collect()
    }

    /// The keys of the person's devices, each with its name.
    async fn keys(self, person: &PersonId, name: impl Fn(DeviceId, KeyPurpose) -> Aspect) -> Vec<SuspectKey> {
        let query = DeviceQuery {
            person_id: Some(person.clone()),
            tombstones: Tombstones::Excluded,
            start: PageStart::Skipping(0),
            limit: PAGE,
        };
        let Ok(page) = self.service.store.devices(self.partner, &query).await else { return Vec::new() };
        let mut keys = Vec::new();
        for device in page.entries {
            if let Ok(Some(found)) = self.service.store.device_with_keys(self.partner, device.id).await {
                keys.extend(found.keys.iter().map(|found| key(name(device.id, found.purpose), &found.public_key)));
            }
        }
        keys
    }
}

fn text(name: Aspect, text: &str) -> SuspectText {
    bytes(name, text.as_bytes())
}

fn bytes(name: Aspect, bytes: &[u8]) -> SuspectText {
    SuspectText { name, text: bytes.to_vec() }
}

fn key(name: Aspect, key: &PublicKey) -> SuspectKey {
    SuspectKey { name, key: key.clone() }
}
