//! Client credentials: authentication for the token endpoint; creation, rotation and revocation by the operator.
//!
//! A secret is shown once, when it is created. Only its hash is stored.

use std::fmt::Write as _;

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::audit::{AuditAction, OPERATOR};
use crate::domain::clients::{Caller, Permissions};
use crate::domain::id::uuid_v7;
use crate::domain::person::PartnerId;
use crate::entropy::Entropy;
use crate::service::audit::scope::event;
use crate::service::{Failure, Service};
use crate::store::{AuditRecord, Client, SecretHash, Store, StoreError};

/// Why authentication of a client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientCredentialsError {
    /// Unknown client, revoked client or wrong secret. The response does not reveal which.
    #[error("client id or secret is wrong")]
    InvalidClient,
    /// A failure of the service.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for ClientCredentialsError {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

/// The client with public credentials. Sandbox only; it is not in the database.
pub struct SandboxClient {
    caller: Caller,
    secret: SecretHash,
}

impl SandboxClient {
    /// Its id, secret and partner.
    pub const NAME: &'static str = "sandbox";

    /// The sandbox client with every permission.
    #[must_use]
    pub fn new() -> Self {
        let partner = PartnerId::parse(Self::NAME).expect("the sandbox client's name is a valid partner id");
        let caller = Caller { partner, client_id: Self::NAME.to_owned(), permissions: Permissions::all() };
        Self { caller, secret: hash(&Self::NAME.into()) }
    }
}

impl Default for SandboxClient {
    fn default() -> Self {
        Self::new()
    }
}

/// Clients per page.
const PAGE: i64 = 500;

impl Service {
    /// The client that these credentials belong to.
    pub async fn authenticate_client(&self, id: &str, secret: &SecretString) -> Result<Caller, ClientCredentialsError> {
        if let Some(sandbox) = &self.sandbox_client
            && id == SandboxClient::NAME
            && matches(secret, sandbox.secret)
        {
            return Ok(sandbox.caller.clone());
        }
        // Postgres rejects NUL in text, and no client id contains one.
        let known = if id.contains('\0') { None } else { self.store.client_with_secrets(id, self.clock.now()).await? };
        let (client, secrets) = known.ok_or(ClientCredentialsError::InvalidClient)?;
        if !secrets.iter().any(|known| matches(secret, known.hash)) {
            return Err(ClientCredentialsError::InvalidClient);
        }
        Ok(Caller { partner: client.partner, client_id: client.id, permissions: client.permissions })
    }
}

/// A newly created secret.
pub struct NewSecret {
    /// The client's id.
    pub client_id: String,
    /// The secret, shown once.
    pub secret: SecretString,
}

/// Client administration for the command line.
pub struct ClientRegistry<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness for ids and secrets.
    pub entropy: &'a dyn Entropy,
}

impl ClientRegistry<'_> {
    /// Creates a client with its first secret.
    pub async fn create(
        &self,
        partner: PartnerId,
        name: Option<String>,
        permissions: Permissions,
    ) -> Result<NewSecret, StoreError> {
        let now = self.clock.now();
        let id: Uuid = uuid_v7(now, self.entropy.bytes());
        let client = Client { id: id.to_string(), partner, name, permissions, created_at: now, revoked_at: None };
        let secret = self.mint_secret();
        let record = self.record(AuditAction::ClientCreated, &client.id);
        self.store.create_client(&client, hash(&secret), &record).await?;
        Ok(NewSecret { client_id: client.id, secret })
    }

    /// The next page of clients, oldest first, after the last client of the previous page; empty after the last page.
    pub async fn page(&self, after: Option<&Client>) -> Result<Vec<Client>, StoreError> {
        let after = after.map(|client| (client.created_at, client.id.as_str()));
        self.store.clients(after, PAGE).await
    }

    /// Creates a new secret; the previous one stays valid for `overlap`. `None` when there is no such client.
    pub async fn rotate(&self, client_id: &str, overlap: TimeDelta) -> Result<Option<NewSecret>, StoreError> {
        let now = self.clock.now();
        let secret = self.mint_secret();
        let record = self.record(AuditAction::ClientRotated, client_id);
        let (hash, until) = (hash(&secret), now + overlap);
        let rotated = self.store.rotate_client_secret(client_id, hash, now, until, &record).await?;
        if !rotated {
            self.refuse(client_id, record).await?;
        }
        Ok(rotated.then(|| NewSecret { client_id: client_id.to_owned(), secret }))
    }

    /// Revokes a client, so that it gets no more tokens. False when there is no such client.
    pub async fn revoke(&self, client_id: &str) -> Result<bool, StoreError> {
        let record = self.record(AuditAction::ClientRevoked, client_id);
        let revoked = self.store.revoke_client(client_id, self.clock.now(), &record).await?;
        if !revoked {
            self.refuse(client_id, record).await?;
        }
        Ok(revoked)
    }

    /// Records a refusal for a revoked client. An unknown client belongs to no partner's trail.
    async fn refuse(&self, client_id: &str, record: AuditRecord) -> Result<(), StoreError> {
        let Some((client, _)) = self.store.client_with_secrets(client_id, self.clock.now()).await? else {
            return Ok(());
        };
        self.store.record(&client.partner, &record.event.with_outcome("revoked").into()).await
    }

    fn record(&self, action: AuditAction, client_id: &str) -> AuditRecord {
        let mut event = event(OPERATOR, action, self.clock.now(), self.entropy.bytes());
        event.object_id = Uuid::try_parse(client_id).ok();
        event.into()
    }

    /// 256 random bits as 64 hexadecimal characters.
    fn mint_secret(&self) -> SecretString {
        let bytes: [u8; 32] = self.entropy.bytes();
        let mut text = String::with_capacity(64);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        text.into()
    }
}

/// Plain SHA-256 suffices: a secret of 256 random bits cannot be guessed.
fn hash(secret: &SecretString) -> SecretHash {
    Sha256::digest(secret.expose_secret()).into()
}

fn matches(secret: &SecretString, known: SecretHash) -> bool {
    hash(secret).ct_eq(&known).into()
}
