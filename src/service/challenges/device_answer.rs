//! Answers to challenges of bound devices: a signature over the challenge's text approves, one over its other text declines.

use serde::{Deserialize, Serialize};

use chrono::{DateTime, Utc};

use crate::crypto::{DerSignature, Diagnosis};
use crate::domain::approvals::{Approval, LineValue};
use crate::domain::audit::{AnswerEvidence, AuditAction, digest_of_text};
use crate::domain::challenges::signing_text::TextToSign;
use crate::domain::challenges::{
    AcceptedAnswer, ChallengeId, ChallengeKind, Decision, DeclineReason, DeviceAcceptance, DeviceChallenge,
    REPEAT_WINDOW, WrongDeviceSignature,
};
use crate::domain::clients::Caller;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::idempotency::Run;
use crate::domain::invalid::Faults;
use crate::domain::person::PersonId;
use crate::fraud::FraudAction;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::{Answering, Standing};
use crate::service::challenges::diagnosis::Investigation;
use crate::service::fraud_check::ToAssess;
use crate::service::{NotDone, Refusal, Service};
use crate::store::Written;

/// What the phone answers.
pub struct DeviceAnswer {
    /// Over the challenge's text, or over the text that declines it.
    pub signature: DerSignature,
    /// What the person decided.
    pub decision: Decision,
    /// The reason for a decline.
    pub reason: Option<LineValue>,
    /// What the partner is about to carry out, if it says so.
    pub approval: Option<Approval>,
    /// For the fraud check.
    pub device_data: Option<DeviceData>,
}

/// A device challenge that was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceVerification {
    /// The challenge.
    pub id: ChallengeId,
    /// What the person decided.
    pub decision: Decision,
    /// The reason for a decline.
    pub reason: Option<LineValue>,
    /// The device that signed.
    pub device_id: DeviceId,
    /// The key that signed.
    pub key_id: KeyId,
    /// The purpose of the key.
    pub key_purpose: KeyPurpose,
    /// The device's person.
    pub person_id: PersonId,
    /// When the signature was verified.
    pub verified_at: DateTime<Utc>,
    /// What the person was asked to approve.
    pub approval: Option<Approval>,
}

impl Service {
    /// Accepts the person's decision if a key of the device signed it.
    pub async fn answer_device_challenge(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Result<DeviceAnswer, Faults>,
        run: Option<Run>,
    ) -> Result<DeviceVerification, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAnswered(ChallengeKind::Device), run);
        attempt.on(id.uuid());
        self.answer(&Answered(id), answer, attempt).await
    }
}

/// A challenge that is answered.
struct Answered(ChallengeId);

impl Answering for Answered {
    type Challenge = DeviceChallenge;
    type Answer = DeviceAnswer;
    /// The key that signed.
    type Proof = KeyId;
    type Done = DeviceVerification;

    const PURPOSE: Option<&'static str> = Some(ChallengeKind::Device.as_str());

    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<DeviceChallenge>>, NotDone> {
        let Some(found) = service.store.device_challenge(attempt.partner, self.0).await? else { return Ok(None) };
        service.about(attempt, &found.person_id);
        Ok(service.standing(ChallengeKind::Device, found.state, found))
    }

    async fn over(
        &self,
        service: &Service,
        answer: Option<&DeviceAnswer>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<DeviceVerification>, NotDone> {
        let found = service.store.device_challenge(attempt.partner, self.0).await?;
        let repeated = found.zip(answer).and_then(|(found, answer)| answer.repeats(&found, service.clock.now()));
        let Some(verification) = repeated else {
            return Err(Refusal::ChallengeNotOpen(ChallengeKind::Device).into());
        };
        if let Some(outcome) = attempt.outcome_to_store(&Ok(&verification)) {
            service.store.store_outcome(attempt.partner, &outcome).await?;
        }
        Ok(Settled::Repeated(verification))
    }

    fn verify(
        &self,
        _service: &Service,
        challenge: &DeviceChallenge,
        answer: &DeviceAnswer,
    ) -> Result<Option<KeyId>, NotDone> {
        if !answer.agrees_with(challenge) {
            return Err(Refusal::ApprovalDiffers.into());
        }
        let text = answer.text(challenge);
        let mut keys = challenge.keys.iter();
        Ok(keys.find(|(_, key)| key.verifies(text.as_str().as_bytes(), &answer.signature)).map(|(id, _)| *id))
    }

    fn to_assess<'a>(&self, challenge: &'a DeviceChallenge, answer: &'a DeviceAnswer) -> Option<ToAssess<'a>> {
        Some(ToAssess {
            action: FraudAction::DeviceVerification,
            person: &challenge.person_id,
            object: challenge.device_id.uuid(),
            device_data: answer.device_data.as_ref()?,
        })
    }

    async fn accept(
        &self,
        service: &Service,
        challenge: &DeviceChallenge,
        answer: &DeviceAnswer,
        key_id: KeyId,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<DeviceVerification>, NotDone> {
        let text = answer.text(challenge);
        let accepted = AcceptedAnswer {
            decision: answer.decision,
            reason: answer.reason.clone(),
            key_id,
            fingerprint: answer.signature.fingerprint(),
            at: service.clock.now(),
        };
        let reason = answer.decline_reason();
        attempt.with_key(key_id);
        attempt.with_answer(AnswerEvidence {
            decision: answer.decision,
            reason,
            text_digest: digest_of_text(text.as_str()),
            signature_digest: accepted.fingerprint,
        });
        let verification = verification(challenge, &accepted);
        let acceptance = DeviceAcceptance {
            id: challenge.id,
            device_id: challenge.device_id,
            person_id: challenge.person_id.clone(),
            answer: accepted,
            text_to_keep: challenge.approval.is_some().then_some(text),
            rules: service.policy.challenge_rules(ChallengeKind::Device),
        };
        let record = attempt.done(&verification);
        Ok(match service.store.accept_device_answer(attempt.partner, &acceptance, &record).await? {
            Written::Done(()) => {
                report(challenge, &acceptance.answer, reason);
                Settled::Done(verification)
            }
            Written::Overtaken => {
                attempt.without_answer();
                Settled::Overtaken
            }
        })
    }

    async fn count_wrong(
        &self,
        service: &Service,
        challenge: &DeviceChallenge,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<DeviceVerification>, NotDone> {
        let rules = service.policy.challenge_rules(ChallengeKind::Device);
        let (id, device_id) = (challenge.id, challenge.device_id);
        let wrong = WrongDeviceSignature { id, device_id, at: service.clock.now(), rules };
        let (refusal, cap) = (Refusal::WrongSignature, rules.wrong_answers_cap);
        let record = attempt.refused(&refusal);
        Ok(match service.store.count_wrong_device_signature(attempt.partner, &wrong, &record).await? {
            Written::Done(wrong) => {
                tracing::info!(target: "audit", { challenge.id = %id, wrong, left = cap - wrong }, "wrong signature");
                Settled::Refused(refusal)
            }
            Written::Overtaken => Settled::Overtaken,
        })
    }

    async fn diagnose(
        &self,
        investigation: Investigation<'_>,
        challenge: &DeviceChallenge,
        answer: &DeviceAnswer,
    ) -> Option<Diagnosis> {
        investigation.of_device_challenge(challenge, answer).await
    }

    async fn close(
        &self,
        service: &Service,
        challenge: &DeviceChallenge,
        refusal: Refusal,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<DeviceVerification>, NotDone> {
        let record = attempt.refused(&refusal);
        service.store.close_device_challenge(attempt.partner, challenge.id, service.clock.now(), &record).await?;
        Ok(Settled::Refused(refusal))
    }
}

/// Logs and counts an accepted answer. A person who did not start the action is a sign of fraud: a warning.
fn report(challenge: &DeviceChallenge, answer: &AcceptedAnswer, reason: Option<DeclineReason>) {
    let (id, device_id, key_id, decision) =
        (challenge.id, challenge.device_id, answer.key_id, answer.decision.as_str());
    tracing::info!(target: "audit", { challenge.id = %id, key.id = %key_id, decision }, "device challenge answered");
    let Some(reason) = reason else { return };
    metrics::counter!("device_challenges_declined_total", "reason" => reason.as_str()).increment(1);
    if reason == DeclineReason::NotMe {
        tracing::warn!(target: "audit", { challenge.id = %id, device.id = %device_id, reason = reason.as_str() }, "device challenge declined");
    }
}

impl DeviceAnswer {
    /// The text that this answer has to sign.
    pub(super) fn text(&self, challenge: &DeviceChallenge) -> TextToSign {
        match self.decision {
            Decision::Approved => challenge.text.clone(),
            Decision::Declined => challenge.text.declining(),
        }
    }

    /// `None` for an approval.
    fn decline_reason(&self) -> Option<DeclineReason> {
        (self.decision == Decision::Declined).then(|| DeclineReason::of(self.reason.as_ref()))
    }

    /// Whether the partner is about to carry out what the person saw, as far as it says.
    fn agrees_with(&self, challenge: &DeviceChallenge) -> bool {
        self.approval.is_none() || self.approval == challenge.approval
    }

    /// The verification of which this answer is the repeat: the same signature for the same decision, within a minute.
    fn repeats(&self, challenge: &DeviceChallenge, now: DateTime<Utc>) -> Option<DeviceVerification> {
        let accepted = challenge.answer.as_ref()?;
        let is_repeat = self.agrees_with(challenge)
            && accepted.fingerprint == self.signature.fingerprint()
            && accepted.decision == self.decision
            && accepted.at > now - REPEAT_WINDOW;
        is_repeat.then(|| verification(challenge, accepted))
    }
}

fn verification(challenge: &DeviceChallenge, accepted: &AcceptedAnswer) -> DeviceVerification {
    DeviceVerification {
        id: challenge.id,
        decision: accepted.decision,
        reason: accepted.reason.clone(),
        device_id: challenge.device_id,
        key_id: accepted.key_id,
        key_purpose: challenge.key_purpose,
        person_id: challenge.person_id.clone(),
        verified_at: accepted.at,
        approval: challenge.approval.clone(),
    }
}
