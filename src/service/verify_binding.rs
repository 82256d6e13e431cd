//! Meets a challenge: the signature shows that the phone has the private key, and that its owner got the code.
//!
//! A verdict takes effect only if the write still finds the challenge open with attempts left. Those writes are put in an
//! order by the database, so guesses in parallel have no better odds than guesses one after another.

use super::{Challenge, Failure, Service};
use crate::crypto::DerSignature;
use crate::domain::challenge::{Acceptance, OpenBinding, WrongSignature};
use crate::domain::client::Caller;
use crate::domain::device_data::DeviceData;
use crate::domain::id::ChallengeId;
use crate::domain::invalid::Faults;
use crate::fraud::FraudAction;
use crate::store::{Accepted, StoreError};

/// What the phone answers to a challenge.
pub struct BindingAnswer {
    /// Over the code's six ASCII digits.
    pub signature: DerSignature,
    /// For the fraud check.
    pub device_data: Option<DeviceData>,
}

/// Why the device is not bound.
#[derive(Debug, thiserror::Error)]
pub enum VerifyBindingError {
    /// No such challenge, or it was met, expired, superseded or closed.
    #[error("the challenge is not open")]
    NotOpen,
    /// The challenge is open, but the answer cannot be read. Costs no attempt.
    #[error("the answer is malformed")]
    Malformed(Faults),
    /// The person has failed too often and has to wait; nothing was verified.
    #[error("the person has failed too often")]
    CoolingOff {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// The signature is not one over the code by the key. Costs an attempt.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The fraud check said no; the challenge is closed.
    #[error("the fraud check declined the device")]
    Declined,
    /// The person has as many devices as allowed; the challenge is closed.
    #[error("the person has as many devices as allowed")]
    DeviceLimit,
    /// A bound device already has the key; the challenge is closed.
    #[error("a bound device already has the key")]
    KeyTaken,
    /// Our failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for VerifyBindingError {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl VerifyBindingError {
    /// The outcome in metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::NotOpen => "not_open",
            Self::Malformed(_) => "malformed",
            Self::CoolingOff { .. } => "cooling_off",
            Self::WrongSignature => "wrong",
            Self::Declined => "declined",
            Self::DeviceLimit => "device_limit",
            Self::KeyTaken => "key_taken",
            Self::Failure(_) => "failure",
        }
    }
}

impl Service {
    /// An open challenge, for whoever lost the answer to their POST.
    pub async fn challenge(&self, caller: &Caller, id: ChallengeId) -> Result<Option<Challenge>, Failure> {
        let open = self.open_binding(caller, id).await?;
        Ok(open.map(|open| Challenge { id: open.id, key_id: open.key_id, life: open.life }))
    }

    /// Binds the device if the answer is right.
    ///
    /// Takes the answer as it was parsed, faults included: a challenge that is not open comes before a body that cannot be
    /// read (contract section 4.5).
    pub async fn verify_binding(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Result<BindingAnswer, Faults>,
    ) -> Result<(), VerifyBindingError> {
        let outcome = self.verify(caller, id, answer).await;
        let label = outcome.as_ref().map_or_else(VerifyBindingError::outcome, |verified| verified.outcome());
        metrics::counter!("signature_verifications_total", "purpose" => "binding", "outcome" => label).increment(1);
        outcome.map(drop)
    }

    async fn verify(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Result<BindingAnswer, Faults>,
    ) -> Result<Verified, VerifyBindingError> {
        let Some(binding) = self.open_binding(caller, id).await? else {
            return match answer {
                Ok(answer) if self.is_repeat(caller, id, &answer.signature).await? => Ok(Verified::Again),
                _ => Err(VerifyBindingError::NotOpen),
            };
        };
        let answer = answer.map_err(VerifyBindingError::Malformed)?;
        if let Some(cooling) = binding.cooling {
            return Err(VerifyBindingError::CoolingOff { retry_after: self.wait(cooling) });
        }
        if self.is_right(&binding, &answer.signature)? {
            self.accept(caller, &binding, &answer).await
        } else {
            self.count_wrong_signature(caller, id).await
        }
    }

    fn is_right(&self, binding: &OpenBinding, signature: &DerSignature) -> Result<bool, Failure> {
        let version = binding.otp_version;
        let code = self.codes.code(version, binding.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        Ok(binding.public_key.verifies(code.expose().as_bytes(), signature))
    }

    async fn accept(
        &self,
        caller: &Caller,
        binding: &OpenBinding,
        answer: &BindingAnswer,
    ) -> Result<Verified, VerifyBindingError> {
        let partner = &caller.partner;
        let device_data = answer.device_data.as_ref();
        let record = self.assess(FraudAction::DeviceVerification, &binding.person_id, binding.id, device_data).await;
        if let Some(record) = record.as_ref().filter(|record| !record.allowed) {
            // Left open, the challenge could be met after all by leaving the payload out.
            self.store.close_binding(partner, binding.id, self.clock.now()).await?;
            self.store.record_fraud_assessment(partner, record).await?;
            return Err(VerifyBindingError::Declined);
        }
        let fingerprint = answer.signature.fingerprint();
        let acceptance = Acceptance {
            id: binding.id,
            person_id: binding.person_id.clone(),
            fingerprint,
            at: self.clock.now(),
            wrong_signatures_cap: i64::from(self.policy.wrong_signatures_cap),
            device_limit: i64::from(self.policy.device_limit),
        };
        let accepted = self.store.accept_binding(partner, &acceptance, record.as_ref()).await?;
        if let Some(number) = binding.number.as_ref().filter(|_| accepted != Accepted::Gone) {
            self.count_used(partner, number, binding.life.created_at);
        }
        match accepted {
            Accepted::Bound => {
                tracing::info!(target: "audit", { device.id = %binding.id, key.id = %binding.key_id }, "device bound");
                Ok(Verified::Bound)
            }
            // The same right answer in parallel: whoever comes second sees what the first did.
            Accepted::Gone if self.is_repeat(caller, binding.id, &answer.signature).await? => Ok(Verified::Again),
            Accepted::Gone => Err(self.why_not(caller, binding.id).await?),
            Accepted::DeviceLimit => Err(VerifyBindingError::DeviceLimit),
            Accepted::KeyTaken => Err(VerifyBindingError::KeyTaken),
        }
    }

    async fn count_wrong_signature(&self, caller: &Caller, id: ChallengeId) -> Result<Verified, VerifyBindingError> {
        let cap = i64::from(self.policy.wrong_signatures_cap);
        let attempt = WrongSignature { id, at: self.clock.now(), cap, budget: self.policy.failure_budget };
        let counted = self.store.count_wrong_signature(&caller.partner, &attempt).await?;
        let Some(wrong) = counted else { return Err(self.why_not(caller, id).await?) };
        tracing::info!(target: "audit", { challenge.id = %id, wrong, left = cap - wrong }, "wrong signature");
        Err(VerifyBindingError::WrongSignature)
    }

    /// What came in between, when a write no longer found what the read had seen.
    async fn why_not(&self, caller: &Caller, id: ChallengeId) -> Result<VerifyBindingError, Failure> {
        let cooling = self.open_binding(caller, id).await?.and_then(|binding| binding.cooling);
        Ok(match cooling {
            Some(cooling) => VerifyBindingError::CoolingOff { retry_after: self.wait(cooling) },
            None => VerifyBindingError::NotOpen,
        })
    }

    async fn open_binding(&self, caller: &Caller, id: ChallengeId) -> Result<Option<OpenBinding>, Failure> {
        let cap = i64::from(self.policy.wrong_signatures_cap);
        Ok(self.store.open_binding_with_id(&caller.partner, id, self.clock.now(), cap).await?)
    }

    async fn is_repeat(&self, caller: &Caller, id: ChallengeId, signature: &DerSignature) -> Result<bool, Failure> {
        Ok(self.store.is_repeat(&caller.partner, id, signature.fingerprint(), self.clock.now()).await?)
    }
}

/// How an answer was right.
#[derive(Clone, Copy)]
enum Verified {
    /// It bound the device.
    Bound,
    /// It had bound the device less than a minute before.
    Again,
}

impl Verified {
    fn outcome(self) -> &'static str {
        match self {
            Self::Bound => "accepted",
            Self::Again => "repeated",
        }
    }
}
