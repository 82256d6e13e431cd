//! Challenges of bound devices: opened with a text that the service makes. How one is answered is in `device_answer`.

use serde::{Deserialize, Serialize};

use crate::domain::approvals::Approval;
use crate::domain::audit::AuditAction;
use crate::domain::challenges::signing_text::{SigningText, TextFrame, TextToSign};
use crate::domain::challenges::{ChallengeId, ChallengeKind, ChallengeLife, NewDeviceChallenge, UnreadDeviceChallenge};
use crate::domain::clients::Caller;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::DeviceId;
use crate::domain::idempotency::Run;
use crate::domain::person::PartnerId;
use crate::fraud::FraudAction;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::TRIES;
use crate::service::fraud_check::ToAssess;
use crate::service::{NotDone, Refusal, Service};
use crate::store::{DeviceProspects, Written};

/// How long a client waits before it asks again for a device that has as many open challenges as allowed, in seconds.
const RETRY_AFTER_OPEN_LIMIT: u64 = 30;

/// A request for a device challenge, valid in itself.
pub struct ChallengeDevice {
    /// The device that has to answer.
    pub device_id: DeviceId,
    /// The purpose of the keys that may sign; `None` leaves the choice to the service.
    pub key_purpose: Option<KeyPurpose>,
    /// For the fraud check.
    pub device_data: Option<DeviceData>,
    /// What the person is asked to approve.
    pub approval: Option<Approval>,
}

/// An open device challenge as the caller sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenDeviceChallenge {
    /// Its id.
    pub id: ChallengeId,
    /// The text to be signed.
    pub text: TextToSign,
    /// What the person is asked to approve.
    pub approval: Option<Approval>,
    /// When it began and when it ends.
    pub life: ChallengeLife,
}

impl Service {
    /// Opens a challenge for a bound device. Its other open challenges stay open.
    pub async fn challenge_device(
        &self,
        caller: &Caller,
        wish: ChallengeDevice,
        run: Option<Run>,
    ) -> Result<OpenDeviceChallenge, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAsked(ChallengeKind::Device), run);
        attempt.on(wish.device_id.uuid());
        let (id, life) = self.challenge_from(self.clock.now());
        let start = Start { id, life, nonce: self.entropy.bytes(), person_salt: self.entropy.bytes() };
        let opened = match self.open_unread(&wish, &start, &mut attempt).await {
            Ok(Some(opened)) => Ok(Settled::Done(opened)),
            Ok(None) => self.open_device_challenge(&wish, &start, &mut attempt).await,
            Err(error) => Err(error),
        };
        self.end(&attempt, opened).await
    }

    /// An open challenge of a device.
    pub async fn device_challenge(&self, caller: &Caller, id: ChallengeId) -> Result<OpenDeviceChallenge, NotDone> {
        let found = self.store.device_challenge(&caller.partner, id).await?;
        let open = found.and_then(|found| self.standing(ChallengeKind::Device, found.state, found));
        let open = open.ok_or(Refusal::ChallengeNotOpen(ChallengeKind::Device))?.challenge;
        let life = open.life();
        Ok(OpenDeviceChallenge { id, text: open.text, approval: open.approval, life })
    }

    /// Opens the challenge in one round trip if the device may have it. `None` leaves the decision to the other way: it says
    /// why the device may not, assesses the device's data and keeps outcomes for idempotency keys.
    async fn open_unread(
        &self,
        wish: &ChallengeDevice,
        start: &Start,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<OpenDeviceChallenge>, NotDone> {
        if wish.device_data.is_some() || attempt.has_idempotency_key() {
            return Ok(None);
        }
        let purposes = match wish.key_purpose {
            Some(KeyPurpose::Unrestricted) if self.must_be_restricted(wish) => return Ok(None),
            _ if self.must_be_restricted(wish) => (KeyPurpose::Restricted, None),
            _ => wish.purposes(),
        };
        let Start { id, life, nonce, person_salt } = *start;
        let ending = (life.expires_at, wish.approval.as_ref());
        let challenge = UnreadDeviceChallenge {
            id,
            device_id: wish.device_id,
            purposes,
            text: TextFrame::of(id, nonce, attempt.partner, wish.device_id, ending),
            approval: wish.approval.clone(),
            life,
            person_salt,
            rules: self.policy.challenge_rules(ChallengeKind::Device),
            open_limit: self.policy.open_device_challenges_limit.into(),
        };
        attempt.on(id.uuid());
        let event = attempt.done(&()).event;
        let Some(text) = self.store.open_unread_device_challenge(attempt.partner, &challenge, &event).await? else {
            attempt.on(wish.device_id.uuid());
            return Ok(None);
        };
        log_opened(id, wish.device_id);
        Ok(Some(OpenDeviceChallenge { id, text, approval: challenge.approval, life }))
    }

    async fn open_device_challenge(
        &self,
        wish: &ChallengeDevice,
        start: &Start,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<OpenDeviceChallenge>, NotDone> {
        let rules = self.policy.challenge_rules(ChallengeKind::Device);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let found =
                self.store.device_prospects(attempt.partner, wish.device_id, now, rules.wrong_answers_cap).await?;
            let found = found.ok_or(Refusal::DeviceInvalid)?;
            attempt.about(&found.person_id, start.person_salt);
            let key_purpose = self.purpose_to_sign(wish, &found)?;
            if let Some(cooling) = rules.budget.pause(found.failures, now) {
                return Err(self.cooling_off(cooling).into());
            }
            if found.open >= i64::from(self.policy.open_device_challenges_limit) {
                return Err(Refusal::OpenChallenges { retry_after: RETRY_AFTER_OPEN_LIMIT }.into());
            }
            if !self.passes(wish.to_assess(&found), attempt).await {
                return Err(Refusal::Declined.into());
            }
            let challenge = start.challenge(wish, key_purpose, found, attempt.partner);
            attempt.on(challenge.id.uuid());
            let opened = OpenDeviceChallenge {
                id: challenge.id,
                text: challenge.text.clone(),
                approval: challenge.approval.clone(),
                life: challenge.life,
            };
            let record = attempt.done(&opened);
            if let Written::Done(()) = self.store.open_device_challenge(attempt.partner, &challenge, &record).await? {
                log_opened(opened.id, wish.device_id);
                return Ok(Settled::Done(opened));
            }
        }
        Ok(Settled::Overtaken)
    }

    /// The purpose of the keys that may sign, by the request, the keys of the device and the rule for approvals.
    fn purpose_to_sign(&self, wish: &ChallengeDevice, found: &DeviceProspects) -> Result<KeyPurpose, Refusal> {
        let chosen = wish.choose_purpose(found);
        match chosen.or(wish.key_purpose) {
            Some(KeyPurpose::Unrestricted) | None if self.must_be_restricted(wish) => {
                Err(Refusal::RestrictedKeyRequired)
            }
            _ => chosen.ok_or(Refusal::NoKeyToSign),
        }
    }

    fn must_be_restricted(&self, wish: &ChallengeDevice) -> bool {
        self.policy.approvals_require_restricted_keys && wish.approval.is_some()
    }
}

/// The parts of a challenge that belong to its request, the same in every attempt to open it.
struct Start {
    id: ChallengeId,
    life: ChallengeLife,
    nonce: [u8; 16],
    /// For the audit event.
    person_salt: [u8; 16],
}

impl Start {
    fn challenge(
        &self,
        wish: &ChallengeDevice,
        key_purpose: KeyPurpose,
        found: DeviceProspects,
        partner: &PartnerId,
    ) -> NewDeviceChallenge {
        let text = SigningText {
            challenge: self.id,
            nonce: self.nonce,
            partner,
            person: &found.person_id,
            device: wish.device_id,
            key: key_purpose,
            expires_at: self.life.expires_at,
            approval: wish.approval.as_ref(),
        };
        NewDeviceChallenge {
            id: self.id,
            device_id: wish.device_id,
            text: text.compose(),
            person_id: found.person_id,
            key_purpose,
            approval: wish.approval.clone(),
            life: self.life,
            turn: found.last_turn + 1,
        }
    }
}

impl ChallengeDevice {
    /// The purpose that was asked for. Without one: `restricted` for an approval and `unrestricted` otherwise, or the other
    /// one if the device has no such key.
    fn purposes(&self) -> (KeyPurpose, Option<KeyPurpose>) {
        match self.key_purpose {
            Some(purpose) => (purpose, None),
            None if self.approval.is_some() => (KeyPurpose::Restricted, Some(KeyPurpose::Unrestricted)),
            None => (KeyPurpose::Unrestricted, Some(KeyPurpose::Restricted)),
        }
    }

    fn choose_purpose(&self, found: &DeviceProspects) -> Option<KeyPurpose> {
        let (preferred, other) = self.purposes();
        [Some(preferred), other].into_iter().flatten().find(|purpose| found.purposes.contains(purpose))
    }

    fn to_assess<'a>(&'a self, found: &'a DeviceProspects) -> Option<ToAssess<'a>> {
        Some(ToAssess {
            action: FraudAction::DeviceChallenge,
            person: &found.person_id,
            object: self.device_id.uuid(),
            device_data: self.device_data.as_ref()?,
        })
    }
}

fn log_opened(id: ChallengeId, device: DeviceId) {
    tracing::info!(target: "audit", { challenge.id = %id, device.id = %device }, "device challenge opened");
}
