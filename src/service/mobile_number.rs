//! A person's mobile number: given, confirmed by a code, looked at, taken away.

use super::{Failure, Service};
use crate::crypto::Otp;
use crate::domain::client::{Caller, Permission};
use crate::domain::country::CountryNotServed;
use crate::domain::id::{NumberId, TokenChallengeId};
use crate::domain::language::Language;
use crate::domain::mobile_number::MobileNumber;
use crate::domain::person::PersonId;
use crate::sms::{Sms, SmsError};
use crate::store::{NumberRecord, NumberVerification, StoreError, TokenAttempt, TokenChallenge};

/// Why the number is not as wished.
#[derive(Debug, thiserror::Error)]
pub enum MobileNumberError {
    /// The person has no number, or not this one.
    #[error("the person has no such mobile number")]
    NotFound,
    /// The person has a number already.
    #[error("the person has a mobile number already")]
    Exists,
    /// The client may not say that a number is verified.
    #[error("the client may not assert mobile numbers")]
    MayNotAssert,
    /// Codes are not sent to the number's country.
    #[error("the number {0}")]
    CountryNotServed(#[from] CountryNotServed),
    /// Too few of the codes that were sent to the country are used; nothing was sent.
    #[error("sending to the country is stopped")]
    SendingStopped {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// The person has failed too often and has to wait; nothing was verified or sent.
    #[error("the person has failed too often")]
    CoolingOff {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// The token is not the one that was sent, or no token is open.
    #[error("the token is wrong")]
    WrongToken,
    /// No provider took the SMS.
    #[error("no SMS provider took the message")]
    SmsNotTaken(#[source] SmsError),
    /// Our failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for MobileNumberError {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl Service {
    /// The person's number.
    pub async fn mobile_number(&self, caller: &Caller, person: &PersonId) -> Result<NumberRecord, MobileNumberError> {
        self.store.mobile_number(&caller.partner, person).await?.ok_or(MobileNumberError::NotFound)
    }

    /// Gives the person a number that a code has yet to confirm.
    pub async fn create_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
    ) -> Result<NumberRecord, MobileNumberError> {
        self.create(caller, person, number, NumberVerification::Pending).await
    }

    /// Gives the person a number that the partner has verified itself. Who said so, and when, is recorded.
    pub async fn assert_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
    ) -> Result<NumberRecord, MobileNumberError> {
        if !caller.permissions.allow(Permission::AssertNumbers) {
            return Err(MobileNumberError::MayNotAssert);
        }
        self.create(caller, person, number, NumberVerification::AssertedBy(&caller.client_id)).await
    }

    async fn create(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
        verification: NumberVerification<'_>,
    ) -> Result<NumberRecord, MobileNumberError> {
        self.policy.sms_countries.admit(&number)?;
        let now = self.clock.now();
        let id = NumberId::mint(now, self.entropy.bytes());
        if !self.store.create_mobile_number(&caller.partner, person, (id, &number), verification, now).await? {
            return Err(MobileNumberError::Exists);
        }
        let verified = matches!(verification, NumberVerification::AssertedBy(_));
        tracing::info!(target: "audit", { number.id = %id, verified }, "mobile number created");
        Ok(NumberRecord { id, number, verified })
    }

    /// Sends a code to the number. An older code ends with this.
    pub async fn authorize_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: &MobileNumber,
        language: Option<Language>,
    ) -> Result<NumberRecord, MobileNumberError> {
        self.admit_for_sms(number)?;
        let now = self.clock.now();
        if let Some(cooling) = self.store.cooling_off(&caller.partner, person, now).await? {
            return Err(MobileNumberError::CoolingOff { retry_after: self.wait(cooling) });
        }
        if let Some(stopped) = self.stopped_sending(&caller.partner, number) {
            return Err(MobileNumberError::SendingStopped { retry_after: stopped.retry_after });
        }
        let version = self.codes.current_version();
        let challenge = TokenChallenge {
            id: TokenChallengeId::mint(now, self.entropy.bytes()),
            otp_version: version,
            expires_at: now + self.policy.challenge_life,
        };
        let record = self
            .store
            .open_token_challenge(&caller.partner, person, number, challenge)
            .await?
            .ok_or(MobileNumberError::NotFound)?;
        let code = self.codes.code(version, challenge.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        let text = self.sms_template.text(language.unwrap_or(self.policy.language), &code, None);
        let sms = Sms { to: record.number.clone(), text, reference: challenge.id.uuid() };
        if let Err(error) = self.hand_over(sms).await {
            self.store.close_token_challenge(&caller.partner, person, challenge.id).await?;
            return Err(MobileNumberError::SmsNotTaken(error));
        }
        self.count_sent(&caller.partner, number, now);
        tracing::info!(target: "audit", { number.id = %record.id }, "mobile number confirmation asked for");
        Ok(record)
    }

    /// Marks the number as verified if the token is the code that was sent to it.
    pub async fn confirm_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: &MobileNumber,
        token: &Otp,
    ) -> Result<NumberRecord, MobileNumberError> {
        let partner = &caller.partner;
        let cap = i64::from(self.policy.wrong_signatures_cap);
        let now = self.clock.now();
        let found = self.store.number_challenge(partner, person, number, now, cap).await?;
        let found = found.ok_or(MobileNumberError::NotFound)?;
        if let Some(cooling) = found.cooling {
            return Err(MobileNumberError::CoolingOff { retry_after: self.wait(cooling) });
        }
        let open = found.open.ok_or(MobileNumberError::WrongToken)?;
        let attempt = TokenAttempt { id: open.id, at: now, cap };
        let version = open.otp_version;
        let code = self.codes.code(version, open.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        if !code.matches(token) {
            let wrong = self.store.count_wrong_token(partner, person, &attempt, &self.policy.failure_budget).await?;
            tracing::info!(target: "audit", { number.id = %found.record.id, wrong }, "wrong token");
            return Err(MobileNumberError::WrongToken);
        }
        if !self.store.confirm_mobile_number(partner, person, &attempt).await? {
            return Err(MobileNumberError::WrongToken);
        }
        if let Some(sent_at) = open.id.minted_at() {
            self.count_used(partner, number, sent_at);
        }
        tracing::info!(target: "audit", { number.id = %found.record.id }, "mobile number verified");
        Ok(NumberRecord { verified: true, ..found.record })
    }

    /// Takes the number away; open challenges of the person die with it. With a number, only if it is that one.
    pub async fn delete_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: Option<&MobileNumber>,
    ) -> Result<NumberRecord, MobileNumberError> {
        let now = self.clock.now();
        let deleted = self.store.delete_mobile_number(&caller.partner, person, number, now).await?;
        let deleted = deleted.ok_or(MobileNumberError::NotFound)?;
        tracing::info!(target: "audit", { number.id = %deleted.id }, "mobile number deleted");
        Ok(deleted)
    }
}
