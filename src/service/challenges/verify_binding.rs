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
use crate::domain::idempotency::Run;
use crate::domain::invalid::Faults;
use crate::fraud::FraudAction;
use crate::service::audit::scope::AuditScope;
use crate::service::{Challenge, Failure, NotDone, Refusal, Service};
use crate::store::Accepted;

/// What the phone answers to a challenge.
pub struct BindingAnswer {
    /// Over the code's six ASCII digits.
    pub signature: DerSignature,
    /// For the fraud check.
    pub device_data: Option<DeviceData>,
}

impl Service {
    /// An open challenge, for a client that lost the answer to its POST.
    pub async fn challenge(&self, caller: &Caller, id: ChallengeId) -> Result<Challenge, NotDone> {
        let (open, _) = self.open_binding(caller, id).await?.ok_or(Refusal::ChallengeNotOpen)?;
        Ok(Challenge { id: open.id, key_id: open.key_id, life: open.life() })
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
        run: Option<Run>,
    ) -> Result<(), NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::BindingAnswered, run);
        attempt.on(id.uuid());
        let outcome = self.verify(caller, id, answer, &mut attempt).await;
        let label = outcome.as_ref().map_or_else(NotDone::outcome, |verified| verified.outcome());
        let purpose = ChallengeKind::Binding.as_str();
        metrics::counter!("signature_verifications_total", "purpose" => purpose, "outcome" => label).increment(1);
        outcome.map(drop)
    }

    async fn verify(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Result<BindingAnswer, Faults>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Verified, NotDone> {
        let Some((mut binding, cooling)) = self.open_binding(caller, id).await? else {
            return self.is_over(caller, id, answer.as_ref().ok(), attempt).await;
        };
        self.about(attempt, &binding.person_id);
        attempt.with_key(binding.key_id);
        let answer = answer?;
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
                return self.close(id, attempt, Refusal::Declined).await;
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
                return self.close(id, attempt, Refusal::DeviceLimit).await;
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
        attempt: &mut AuditScope<'_>,
    ) -> Result<Verified, NotDone> {
        let fingerprint = answer.map(|answer| answer.signature.fingerprint());
        if let Some(past) = self.store.past_binding(&caller.partner, id, fingerprint, self.clock.now()).await? {
            if past.is_repeat {
                // Right answers are kept under the key of their request, whichever request did the work.
                if let Some(kept) = attempt.kept(&Ok(&())) {
                    self.store.keep_outcome(&caller.partner, &kept).await?;
                }
                return Ok(Verified::Again);
            }
            self.about(attempt, &past.person_id);
        }
        Err(self.refuse(attempt, Refusal::ChallengeNotOpen).await)
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
        attempt: &AuditScope<'_>,
    ) -> Result<Option<Result<Verified, NotDone>>, Failure> {
        let acceptance = Acceptance {
            id: binding.id,
            person_id: binding.person_id.clone(),
            fingerprint: answer.signature.fingerprint(),
            at: self.clock.now(),
            device_limit: i64::from(self.policy.device_limit),
            rules: self.policy.challenge_rules(ChallengeKind::Binding),
        };
        let accepted = self.store.accept_binding(attempt.partner, &acceptance, &attempt.done(&())).await?;
        if let Some(number) = binding.number.as_ref().filter(|_| accepted != Accepted::Overtaken) {
            self.count_used(attempt.partner, number, binding.created_at);
        }
        Ok(match accepted {
            Accepted::Bound => {
                tracing::info!(target: "audit", { device.id = %binding.id, key.id = %binding.key_id }, "device bound");
                Some(Ok(Verified::Bound))
            }
            Accepted::KeyTaken => Some(self.close(binding.id, attempt, Refusal::KeyTaken).await),
            Accepted::Overtaken => None,
        })
    }

    /// `None` when something came in between.
    async fn count_wrong_signature(
        &self,
        id: ChallengeId,
        attempt: &AuditScope<'_>,
    ) -> Result<Option<Result<Verified, NotDone>>, Failure> {
        let rules = self.policy.challenge_rules(ChallengeKind::Binding);
        let (wrong, cap) = (WrongSignature { id, at: self.clock.now(), rules }, rules.wrong_answers_cap);
        let record = attempt.refused(&Refusal::WrongSignature);
        let counted = self.store.count_wrong_signature(attempt.partner, &wrong, &record).await?;
        Ok(counted.map(|wrong| {
            tracing::info!(target: "audit", { challenge.id = %id, wrong, left = cap - wrong }, "wrong signature");
            Err(Refusal::WrongSignature.into())
        }))
    }

    /// Closes a challenge that can no longer be met, and says why.
    async fn close(&self, id: ChallengeId, attempt: &AuditScope<'_>, refusal: Refusal) -> Result<Verified, NotDone> {
        let record = attempt.refused(&refusal);
        self.store.close_binding(attempt.partner, id, self.clock.now(), None, &record).await?;
        Err(refusal.into())
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
