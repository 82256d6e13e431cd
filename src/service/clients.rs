//! Clients and their secrets: checked when a token is asked for, made and withdrawn by the operator.
//!
//! A secret is shown once, when it is made; only its hash is kept.

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

/// Why a client got no token.
#[derive(Debug, thiserror::Error)]
pub enum ClientCredentialsError {
    /// Unknown client, revoked client or wrong secret: nobody may tell which.
    #[error("client id or secret is wrong")]
    InvalidClient,
    /// Our failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for ClientCredentialsError {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

/// The client that everybody knows. Sandbox only; it is not in the database.
pub struct SandboxClient {
    caller: Caller,
    secret: SecretHash,
}

impl SandboxClient {
    /// Its id, its secret and its partner.
    pub const NAME: &'static str = "sandbox";

    /// With every permission.
    #[must_use]
    pub fn new() -> Self {
        let partner = PartnerId::parse(Self::NAME).expect("the sandbox's name is a partner's name");
        let caller = Caller { partner, client_id: Self::NAME.to_owned(), permissions: Permissions::all() };
        Self { caller, secret: hash(&Self::NAME.into()) }
    }
}

impl Default for SandboxClient {
    fn default() -> Self {
        Self::new()
    }
}

/// So many clients are read at once.
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
        // A text that no database can hold is nobody's id.
        let known = if id.contains('\0') { None } else { self.store.client_with_secrets(id, self.clock.now()).await? };
        let (client, secrets) = known.ok_or(ClientCredentialsError::InvalidClient)?;
        if !secrets.iter().any(|known| matches(secret, known.hash)) {
            return Err(ClientCredentialsError::InvalidClient);
        }
        Ok(Caller { partner: client.partner, client_id: client.id, permissions: client.permissions })
    }
}

/// A secret that was just made.
pub struct NewSecret {
    /// The client's id.
    pub client_id: String,
    /// The secret, to be shown once.
    pub secret: SecretString,
}

/// The operator's side of clients, for the command line.
pub struct ClientRegistry<'a> {
    /// Where clients are kept.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness for ids and secrets.
    pub entropy: &'a dyn Entropy,
}

impl ClientRegistry<'_> {
    /// Makes a client with its first secret.
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

    /// The next clients, oldest first, behind the last one of the page before; none behind the last.
    pub async fn page(&self, after: Option<&Client>) -> Result<Vec<Client>, StoreError> {
        let after = after.map(|client| (client.created_at, client.id.as_str()));
        self.store.clients(after, PAGE).await
    }

    /// Makes a new secret; the one before it works for the overlap. `None` when there is no such client.
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

    /// Stops a client from getting tokens. False when there is no such client.
    pub async fn revoke(&self, client_id: &str) -> Result<bool, StoreError> {
        let record = self.record(AuditAction::ClientRevoked, client_id);
        let revoked = self.store.revoke_client(client_id, self.clock.now(), &record).await?;
        if !revoked {
            self.refuse(client_id, record).await?;
        }
        Ok(revoked)
    }

    /// Writes down that nothing was done for a client that is revoked. One that never was is in no partner's trail.
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

/// Plain SHA-256 is enough: the secret has 256 random bits, so there is nothing to guess.
fn hash(secret: &SecretString) -> SecretHash {
    Sha256::digest(secret.expose_secret()).into()
}

fn matches(secret: &SecretString, known: SecretHash) -> bool {
    hash(secret).ct_eq(&known).into()
}
