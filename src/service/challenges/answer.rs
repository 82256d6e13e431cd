//! The flow of an answer, the same for every kind of challenge: load, readable, cooling, verify, assess, settle, try again.
//!
//! What was verified takes effect only if the write still finds the challenge open. The database puts those writes in an
//! order, so guesses in parallel have no better odds than guesses one after another.

use crate::domain::audit::ACCEPTED;
use crate::domain::challenges::{ChallengeKind, ChallengeState, Judgement, judge};
use crate::domain::failure_budget::CoolingOff;
use crate::domain::invalid::Faults;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::fraud_check::ToAssess;
use crate::service::{NotDone, Refusal, Service};

/// How often an answer is settled anew when another request of the person has come in between.
pub(in crate::service) const TRIES: usize = 3;

/// What a kind of challenge adds to the flow of an answer.
pub(in crate::service) trait Answering {
    /// The challenge as it was read.
    type Challenge;
    /// What the caller sent.
    type Answer;
    /// What shows that an answer is right.
    type Proof;
    /// What a right answer comes to.
    type Done;

    /// The label of its verifications in the metrics. `None` for a kind whose answers are no signatures.
    const PURPOSE: Option<&'static str>;

    /// Reads the challenge, and says in the attempt what it is about. `None` when it is over.
    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<Self::Challenge>>, NotDone>;

    /// What an answer to a challenge that is over comes to: the repeat of the answer that met it may be answered like that.
    /// The answer is missing when it could not be read.
    async fn over(
        &self,
        service: &Service,
        answer: Option<&Self::Answer>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<Self::Done>, NotDone>;

    /// Refuses an answer that can be read and does not fit the challenge.
    fn fits(&self, _challenge: &Self::Challenge, _answer: &Self::Answer) -> Result<(), Refusal> {
        Ok(())
    }

    /// What shows that the answer is right; `None` when it is wrong.
    fn verify(
        &self,
        service: &Service,
        challenge: &Self::Challenge,
        answer: &Self::Answer,
    ) -> Result<Option<Self::Proof>, NotDone>;

    /// What the fraud check is asked about a right answer.
    fn to_assess<'a>(&self, _challenge: &'a Self::Challenge, _answer: &'a Self::Answer) -> Option<ToAssess<'a>> {
        None
    }

    /// Lets a right answer take effect.
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

    /// Refuses a right answer so that it cannot be given again: a challenge that was left open could be met after all.
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
    /// It.
    pub(in crate::service) challenge: C,
    /// The pause in which nothing is verified, if there is one now.
    pub(in crate::service) pause: Option<CoolingOff>,
}

impl Service {
    /// Answers a challenge, and ends the attempt.
    ///
    /// Takes the answer as it was parsed, faults included: a challenge that is over comes before a body that cannot be read.
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
            let settled = match kind.verify(self, &challenge, answer)? {
                Some(proof) => {
                    if !self.passes(kind.to_assess(&challenge, answer), attempt).await {
                        return kind.close(self, &challenge, Refusal::Declined, attempt).await;
                    }
                    kind.accept(self, &challenge, answer, proof, attempt).await?
                }
                None => kind.count_wrong(self, &challenge, attempt).await?,
            };
            if !matches!(settled, Settled::Overtaken) {
                return Ok(settled);
            }
        }
        Ok(Settled::Overtaken)
    }

    /// What a kind finds when it loads a challenge in this state.
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
