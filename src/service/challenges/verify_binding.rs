//! Meets a challenge: the signature shows that the phone has the private key, and that its owner got the code.
//!
//! A verdict takes effect only if the write still finds the challenge open with attempts left. Those writes are put in an
//! order by the database, so guesses in parallel have no better odds than guesses one after another.

use crate::crypto::DerSignature;
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{Acceptance, Binding, ChallengeId, ChallengeKind, Judgement, WrongSignature};
use crate::domain::clients::Caller;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::failure_budget::CoolingOff;
use crate::domain::invalid::Faults;
use crate::fraud::FraudAction;
use crate::service::audit::scope::{AuditScope, Keeping, Refusal};
use crate::service::{Challenge, Failure, Service};
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

impl Refusal for VerifyBindingError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::NotOpen => "not_open",
            Self::Malformed(_) => "malformed",
            Self::CoolingOff { .. } => "cooling_off",
            Self::WrongSignature => "wrong",
            Self::Declined => "declined",
            Self::DeviceLimit => "device_limit",
            Self::KeyTaken => "key_taken",
            Self::Failure(failure) => failure.outcome(),
        }
    }

    fn is_worth_recording(&self) -> bool {
        !matches!(self, Self::Malformed(_) | Self::Failure(_))
    }
}

impl Service {
    /// An open challenge, for whoever lost the answer to their POST.
    pub async fn challenge(&self, caller: &Caller, id: ChallengeId) -> Result<Option<Challenge>, Failure> {
        let open = self.open_binding(caller, id).await?;
        Ok(open.map(|(open, _)| Challenge { id: open.id, key_id: open.key_id, life: open.life() }))
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
        keeping: &Keeping<Result<(), VerifyBindingError>>,
    ) -> Result<(), VerifyBindingError> {
        let mut attempt = self.audit_scope(caller, AuditAction::BindingAnswered, keeping);
        attempt.on(id.uuid());
        let outcome = self.verify(caller, id, answer, &mut attempt).await;
        let label = outcome.as_ref().map_or_else(Refusal::outcome, |verified| verified.outcome());
        let purpose = ChallengeKind::Binding.as_str();
        metrics::counter!("signature_verifications_total", "purpose" => purpose, "outcome" => label).increment(1);
        outcome.map(drop)
    }

    async fn verify(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Result<BindingAnswer, Faults>,
        attempt: &mut Answering<'_>,
    ) -> Result<Verified, VerifyBindingError> {
        let Some((mut binding, cooling)) = self.open_binding(caller, id).await? else {
            return self.is_over(caller, id, answer.as_ref().ok(), attempt).await;
        };
        self.about(attempt, &binding.person_id);
        attempt.with_key(binding.key_id);
        let answer = answer.map_err(VerifyBindingError::Malformed)?;
        if let Some(cooling) = cooling {
            return Err(self.refuse(attempt, self.cooling_off(cooling)).await);
        }
        let is_right = self.is_right(&binding, &answer.signature)?;
        if is_right {
            let device_data = answer.device_data.as_ref();
            let record =
                self.assess(FraudAction::DeviceVerification, &binding.person_id, id.bound_device(), device_data).await;
            if !attempt.assessed(record) {
                // Left open, the challenge could be met after all by leaving the payload out.
                return self.close(id, attempt, || VerifyBindingError::Declined).await;
            }
        }
        for _ in 0..TRIES {
            let verdict = if is_right {
                self.accept(&binding, &answer, attempt).await?
            } else {
                self.count_wrong_signature(id, attempt).await?
            };
            if let Some(verdict) = verdict {
                return verdict;
            }
            // Something came in between; if it is a reason to refuse, this finds it.
            let Some((found, cooling)) = self.open_binding(caller, id).await? else {
                return self.is_over(caller, id, Some(&answer), attempt).await;
            };
            binding = found;
            if let Some(cooling) = cooling {
                return Err(self.refuse(attempt, self.cooling_off(cooling)).await);
            }
            if is_right && binding.bound_devices >= i64::from(self.policy.device_limit) {
                return self.close(id, attempt, || VerifyBindingError::DeviceLimit).await;
            }
        }
        Err(Failure::Overtaken.into())
    }

    /// The challenge is not open: a repeat of the answer that met it is answered like the first (contract section 4.5),
    /// also when the two came at once.
    async fn is_over(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Option<&BindingAnswer>,
        attempt: &mut Answering<'_>,
    ) -> Result<Verified, VerifyBindingError> {
        let fingerprint = answer.map(|answer| answer.signature.fingerprint());
        if let Some(past) = self.store.past_binding(&caller.partner, id, fingerprint, self.clock.now()).await? {
            if past.is_repeat {
                // Right answers are kept under the key of their request, whichever request did the work.
                if let Some(kept) = attempt.keeping.keep(Ok(())) {
                    self.store.keep_answer(&caller.partner, &kept).await?;
                }
                return Ok(Verified::Again);
            }
            self.about(attempt, &past.person_id);
        }
        Err(self.refuse(attempt, VerifyBindingError::NotOpen).await)
    }

    fn is_right(&self, binding: &Binding, signature: &DerSignature) -> Result<bool, Failure> {
        let version = binding.otp_version;
        let code = self.codes.code(version, binding.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        Ok(binding.public_key.verifies(code.expose().as_bytes(), signature))
    }

    /// `None` when something came in between.
    async fn accept(
        &self,
        binding: &Binding,
        answer: &BindingAnswer,
        attempt: &Answering<'_>,
    ) -> Result<Option<Result<Verified, VerifyBindingError>>, Failure> {
        let acceptance = Acceptance {
            id: binding.id,
            person_id: binding.person_id.clone(),
            fingerprint: answer.signature.fingerprint(),
            at: self.clock.now(),
            device_limit: i64::from(self.policy.device_limit),
            rules: self.policy.challenge_rules(ChallengeKind::Binding),
        };
        let accepted = self.store.accept_binding(attempt.partner, &acceptance, &attempt.record(Ok(()))).await?;
        if let Some(number) = binding.number.as_ref().filter(|_| accepted != Accepted::Overtaken) {
            self.count_used(attempt.partner, number, binding.created_at);
        }
        Ok(match accepted {
            Accepted::Bound => {
                tracing::info!(target: "audit", { device.id = %binding.id, key.id = %binding.key_id }, "device bound");
                Some(Ok(Verified::Bound))
            }
            Accepted::KeyTaken => Some(self.close(binding.id, attempt, || VerifyBindingError::KeyTaken).await),
            Accepted::Overtaken => None,
        })
    }

    /// `None` when something came in between.
    async fn count_wrong_signature(
        &self,
        id: ChallengeId,
        attempt: &Answering<'_>,
    ) -> Result<Option<Result<Verified, VerifyBindingError>>, Failure> {
        let rules = self.policy.challenge_rules(ChallengeKind::Binding);
        let (wrong, cap) = (WrongSignature { id, at: self.clock.now(), rules }, rules.wrong_answers_cap);
        let record = attempt.record(Err(VerifyBindingError::WrongSignature));
        let counted = self.store.count_wrong_signature(attempt.partner, &wrong, &record).await?;
        Ok(counted.map(|wrong| {
            tracing::info!(target: "audit", { challenge.id = %id, wrong, left = cap - wrong }, "wrong signature");
            Err(VerifyBindingError::WrongSignature)
        }))
    }

    /// Closes a challenge that can no longer be met, and says why.
    async fn close(
        &self,
        id: ChallengeId,
        attempt: &Answering<'_>,
        refusal: impl Fn() -> VerifyBindingError,
    ) -> Result<Verified, VerifyBindingError> {
        let record = attempt.record(Err(refusal()));
        self.store.close_binding(attempt.partner, id, self.clock.now(), None, &record).await?;
        Err(refusal())
    }

    fn cooling_off(&self, cooling: CoolingOff) -> VerifyBindingError {
        VerifyBindingError::CoolingOff { retry_after: self.wait(cooling) }
    }

    /// The attempt, and the pause that its person is in, unless the attempt is over.
    async fn open_binding(
        &self,
        caller: &Caller,
        id: ChallengeId,
    ) -> Result<Option<(Binding, Option<CoolingOff>)>, Failure> {
        let Some(binding) = self.store.binding(&caller.partner, id).await? else { return Ok(None) };
        Ok(match self.judge(ChallengeKind::Binding, &binding.state) {
            Judgement::Open => Some((binding, None)),
            Judgement::CoolingOff(cooling) => Some((binding, Some(cooling))),
            Judgement::Over(_) => None,
        })
    }
}

/// An answer under way.
type Answering<'a> = AuditScope<'a, (), VerifyBindingError>;

/// How often a verdict is tried anew when another request of the person has come in between.
const TRIES: usize = 3;

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
