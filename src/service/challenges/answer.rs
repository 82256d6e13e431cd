//! The flow of an answer, the same for every kind of challenge: load the challenge, check the body, check for a
//! cool-down, verify, check for fraud, commit; retry if a concurrent request won the race.
//!
//! An answer takes effect only if the write still finds the challenge open. The database serializes these writes, so
//! parallel guesses are limited like sequential ones.

use crate::crypto::Diagnosis;
use crate::domain::audit::ACCEPTED;
use crate::domain::challenges::{ChallengeKind, ChallengeState, Judgement, judge};
use crate::domain::failure_budget::CoolingOff;
use crate::domain::invalid::Faults;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::diagnosis::Investigation;
use crate::service::fraud_check::ToAssess;
use crate::service::{NotDone, Refusal, Service};

/// Maximum number of attempts to commit, when concurrent requests for the person win the race.
pub(in crate::service) const TRIES: usize = 3;

/// The part of the flow of an answer that differs by kind.
pub(in crate::service) trait Answering {
    /// The challenge as read from the store.
    type Challenge;
    /// The parsed answer.
    type Answer;
    /// The evidence that an answer is right.
    type Proof;
    /// The result of a right answer.
    type Done;

    /// The `purpose` label of `signature_verifications_total`. `None` for a kind whose answers are not signatures.
    const PURPOSE: Option<&'static str>;

    /// Reads the challenge and sets the subject of the audit event. `None` when the challenge is over.
    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<Self::Challenge>>, NotDone>;

    /// The result of an answer to a challenge that is over. A repetition of the right answer may succeed again.
    /// `answer` is `None` when it could not be parsed.
    async fn over(
        &self,
        service: &Service,
        answer: Option<&Self::Answer>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<Self::Done>, NotDone>;

    /// Refuses a well-formed answer that does not fit the challenge.
    fn fits(&self, _challenge: &Self::Challenge, _answer: &Self::Answer) -> Result<(), Refusal> {
        Ok(())
    }

    /// The evidence that the answer is right; `None` when it is wrong.
    fn verify(
        &self,
        service: &Service,
        challenge: &Self::Challenge,
        answer: &Self::Answer,
    ) -> Result<Option<Self::Proof>, NotDone>;

    /// The input of the fraud check of a right answer.
    fn to_assess<'a>(&self, _challenge: &'a Self::Challenge, _answer: &'a Self::Answer) -> Option<ToAssess<'a>> {
        None
    }

    /// Commits a right answer.
    async fn accept(
        &self,
        service: &Service,
        challenge: &Self::Challenge,
        answer: &Self::Answer,
        proof: Self::Proof,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<Self::Done>, NotDone>;

    /// Counts a wrong answer.
    async fn count_wrong(
        &self,
        service: &Service,
        challenge: &Self::Challenge,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<Self::Done>, NotDone>;

    /// The mistake in a wrong answer. In the sandbox only, after the refusal is committed.
    async fn diagnose(
        &self,
        investigation: Investigation<'_>,
        challenge: &Self::Challenge,
        answer: &Self::Answer,
    ) -> Option<Diagnosis>;

    /// Refuses a right answer and closes the challenge, so that the same answer cannot succeed later.
    async fn close(
        &self,
        _service: &Service,
        _challenge: &Self::Challenge,
        refusal: Refusal,
        _attempt: &AuditScope<'_>,
    ) -> Result<Settled<Self::Done>, NotDone> {
        Err(refusal.into())
    }
}

/// A challenge that is not over.
pub(in crate::service) struct Standing<C> {
    /// The challenge.
    pub(in crate::service) challenge: C,
    /// The cool-down of its person, if one is in effect.
    pub(in crate::service) pause: Option<CoolingOff>,
}

impl Service {
    /// Runs the flow, ends the attempt and counts the verification.
    ///
    /// Takes the result of parsing the answer: the error for a challenge that is over takes precedence over the one for
    /// a malformed body.
    pub(in crate::service) async fn answer<K: Answering>(
        &self,
        kind: &K,
        answer: Result<K::Answer, Faults>,
        mut attempt: AuditScope<'_>,
    ) -> Result<K::Done, NotDone> {
        let settled = self.settle_answer(kind, &answer, &mut attempt).await;
        let right = if matches!(settled, Ok(Settled::Repeated(_))) { "repeated" } else { ACCEPTED };
        let outcome = self.end(&attempt, settled).await;
        if let Some(purpose) = K::PURPOSE {
            let label = outcome.as_ref().map_or_else(NotDone::outcome, |_| right);
            metrics::counter!("signature_verifications_total", "purpose" => purpose, "outcome" => label).increment(1);
        }
        outcome
    }

    async fn settle_answer<K: Answering>(
        &self,
        kind: &K,
        answer: &Result<K::Answer, Faults>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<K::Done>, NotDone> {
        for _ in 0..TRIES {
            let Some(Standing { challenge, pause }) = kind.load(self, attempt).await? else {
                return kind.over(self, answer.as_ref().ok(), attempt).await;
            };
            let answer = answer.as_ref().map_err(Faults::clone)?;
            kind.fits(&challenge, answer)?;
            if let Some(cooling) = pause {
                return Err(self.cooling_off(cooling).into());
            }
            let settled = if let Some(proof) = kind.verify(self, &challenge, answer)? {
                if !self.passes(kind.to_assess(&challenge, answer), attempt).await {
                    return kind.close(self, &challenge, Refusal::Declined, attempt).await;
                }
                kind.accept(self, &challenge, answer, proof, attempt).await?
            } else {
                let counted = kind.count_wrong(self, &challenge, attempt).await?;
                self.with_diagnosis(kind, &challenge, answer, attempt.partner, counted).await
            };
            if !matches!(settled, Settled::Overtaken) {
                return Ok(settled);
            }
        }
        Ok(Settled::Overtaken)
    }

    /// A challenge in this state, or `None` when it is over.
    pub(in crate::service) fn standing<C>(
        &self,
        kind: ChallengeKind,
        state: ChallengeState,
        challenge: C,
    ) -> Option<Standing<C>> {
        match judge(&state, self.clock.now(), &self.policy.challenge_rules(kind)) {
            Judgement::Open => Some(Standing { challenge, pause: None }),
            Judgement::CoolingOff(cooling) => Some(Standing { challenge, pause: Some(cooling) }),
            Judgement::Over(_) => None,
        }
    }
}
