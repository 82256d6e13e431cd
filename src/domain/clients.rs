//! API clients of a partner and their permissions.

use crate::domain::person::PartnerId;

/// A right that a client may be granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// May mark a mobile number as verified because the partner verified it itself (docs/api-design.md#mobile-numbers).
    AssertNumbers,
}

impl Permission {
    /// Every permission, in display order.
    pub const ALL: [Self; 1] = [Self::AssertNumbers];

    /// `None` for an unknown name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }

    /// Its name on the command line and in tokens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssertNumbers => "numbers:assert",
        }
    }
}

/// The permissions of one client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Permissions(Vec<Permission>);

impl Permissions {
    /// Every permission.
    #[must_use]
    pub fn all() -> Self {
        Self(Permission::ALL.to_vec())
    }

    /// Reads a list separated by spaces. Unknown names are ignored.
    #[must_use]
    pub fn from_words(words: &str) -> Self {
        Self(words.split_ascii_whitespace().filter_map(Permission::parse).collect())
    }

    /// The same list, separated by spaces.
    #[must_use]
    pub fn to_words(&self) -> String {
        self.0.iter().map(|permission| permission.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Whether the client has this permission.
    #[must_use]
    pub fn allow(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

/// An authenticated client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Its tenant: it reads and writes only this partner's data.
    pub partner: PartnerId,
    /// Its id, for the audit trail and the log.
    pub client_id: String,
    /// Its permissions.
    pub permissions: Permissions,
}
