//! Clients and the hashes of their secrets. Secrets themselves are not stored.

use chrono::{DateTime, Utc};

use super::rows::{column, partner};
use super::sql_store::SqlStore;
use super::{AuditRecord, Result, StoreError};
use crate::domain::clients::Permissions;
use crate::domain::person::PartnerId;
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;

/// SHA-256 of a client's secret.
pub type SecretHash = [u8; 32];

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client id, sent as the Basic user name.
    pub id: String,
    /// The partner it belongs to.
    pub partner: PartnerId,
    /// Name given by the operator.
    pub name: Option<String>,
    /// Its permissions.
    pub permissions: Permissions,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was revoked. A revoked client gets no more tokens.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// One secret of a client.
#[derive(Clone)]
pub struct ClientSecret {
    /// Its hash.
    pub hash: SecretHash,
    /// The first instant at which it is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Clients.
#[macro_rules_attribute::apply(port)]
pub trait Clients {
    /// A client with its currently valid secrets. A revoked client has none.
    async fn client_with_secrets(&self, id: &str, now: DateTime<Utc>) -> Result<Option<(Client, Vec<ClientSecret>)>>;

    /// A page of at most `limit` clients, oldest first, after this instant and id.
    async fn clients(&self, after: Option<(DateTime<Utc>, &str)>, limit: i64) -> Result<Vec<Client>>;

    /// Adds a client with its first secret.
    async fn create_client(&self, client: &Client, secret: SecretHash, record: &AuditRecord) -> Result<()>;

    /// Adds a secret to a client. Its predecessor is accepted until `overlap_until`; older secrets are deleted. False
    /// when the client does not exist or is revoked.
    async fn rotate_client_secret(
        &self,
        id: &str,
        secret: SecretHash,
        now: DateTime<Utc>,
        overlap_until: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<bool>;

    /// Revokes a client: it gets no more tokens. False when the client does not exist or is already revoked.
    async fn revoke_client(&self, id: &str, now: DateTime<Utc>, record: &AuditRecord) -> Result<bool>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Clients for SqlStore<DB> {
    async fn client_with_secrets(&self, id: &str, now: DateTime<Utc>) -> Result<Option<(Client, Vec<ClientSecret>)>> {
        let query = sqlx::query(
            "select c.client_id, c.partner_id, c.name, c.permissions, c.created_at, c.revoked_at
                  , s.secret_hash, s.expires_at
               from client c
               left join client_secret s
                      on s.client_id = c.client_id
                     and (s.expires_at is null or s.expires_at > $2)
                     and c.revoked_at is null
              where c.client_id = $1",
        )
        .bind(id.to_owned())
        .bind(now);
        let rows = self.rows(query).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut secrets = Vec::new();
        for row in &rows {
            if let Some(hash) = column::<DB, Option<Vec<u8>>>(row, "secret_hash")? {
                let hash = hash.try_into().map_err(|_| StoreError::Corrupt { column: "secret_hash" })?;
                secrets.push(ClientSecret { hash, expires_at: column::<DB, _>(row, "expires_at")? });
            }
        }
        Ok(Some((client::<DB>(first)?, secrets)))
    }

    async fn clients(&self, after: Option<(DateTime<Utc>, &str)>, limit: i64) -> Result<Vec<Client>> {
        let (created_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, ""));
        let query = sqlx::query(
            "select client_id, partner_id, name, permissions, created_at, revoked_at
               from client
              where (created_at, client_id) > ($1, $2)
              order by created_at, client_id
              limit $3",
        )
        .bind(created_at)
        .bind(id.to_owned())
        .bind(limit);
        self.rows(query).await?.iter().map(client::<DB>).collect()
    }

    async fn create_client(&self, client: &Client, secret: SecretHash, record: &AuditRecord) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "insert into client (client_id, partner_id, name, permissions, created_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(client.id.clone())
        .bind(client.partner.as_str().to_owned())
        .bind(client.name.clone())
        .bind(client.permissions.to_words())
        .bind(client.created_at)
        .execute(&mut *transaction)
        .await?;
        insert_secret::<DB>(&client.id, secret, client.created_at).execute(&mut *transaction).await?;
        write_down::<DB>(&mut transaction, &client.partner, record).await?;
        Ok(transaction.commit().await?)
    }

    async fn rotate_client_secret(
        &self,
        id: &str,
        secret: SecretHash,
        now: DateTime<Utc>,
        overlap_until: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        // Locking the client's row serializes concurrent rotations.
        let client = sqlx::query(
            "update client
                set revoked_at = null
              where client_id = $1
                and revoked_at is null
             returning partner_id",
        )
        .bind(id.to_owned())
        .fetch_all(&mut *transaction)
        .await?;
        let Some(row) = client.first() else {
            transaction.rollback().await?;
            return Ok(false);
        };
        let partner = partner::<DB>(row)?;
        sqlx::query("delete from client_secret where client_id = $1 and expires_at is not null")
            .bind(id.to_owned())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("update client_secret set expires_at = $2 where client_id = $1")
            .bind(id.to_owned())
            .bind(overlap_until)
            .execute(&mut *transaction)
            .await?;
        insert_secret::<DB>(id, secret, now).execute(&mut *transaction).await?;
        write_down::<DB>(&mut transaction, &partner, record).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn revoke_client(&self, id: &str, now: DateTime<Utc>, record: &AuditRecord) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let revoked = sqlx::query(
            "update client
                set revoked_at = $2
              where client_id = $1
                and revoked_at is null
             returning partner_id",
        )
        .bind(id.to_owned())
        .bind(now)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(row) = revoked.first() else {
            transaction.rollback().await?;
            return Ok(false);
        };
        write_down::<DB>(&mut transaction, &partner::<DB>(row)?, record).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn insert_secret<DB: Dialect>(
    id: &str,
    secret: SecretHash,
    now: DateTime<Utc>,
) -> sqlx::query::Query<'static, DB, DB::Arguments> {
    sqlx::query("insert into client_secret (client_id, secret_hash, created_at) values ($1, $2, $3)")
        .bind(id.to_owned())
        .bind(secret.to_vec())
        .bind(now)
}

fn client<DB: Dialect>(row: &DB::Row) -> Result<Client> {
    Ok(Client {
        id: column::<DB, _>(row, "client_id")?,
        partner: partner::<DB>(row)?,
        name: column::<DB, _>(row, "name")?,
        permissions: Permissions::from_words(&column::<DB, String>(row, "permissions")?),
        created_at: column::<DB, _>(row, "created_at")?,
        revoked_at: column::<DB, _>(row, "revoked_at")?,
    })
}
