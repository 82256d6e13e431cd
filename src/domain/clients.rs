//! Who calls: a client of a partner, and what it may do.

use crate::domain::person::PartnerId;

/// Something that not every client may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// May say that a mobile number is verified, because the partner verified it itself (docs/api-design.md#mobile-numbers).
    AssertNumbers,
}

impl Permission {
    /// Every permission, in the order in which they are listed.
    pub const ALL: [Self; 1] = [Self::AssertNumbers];

    /// `None` for a name that is no permission.
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
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self(Permission::ALL.to_vec())
    }

    /// Reads a list separated by spaces; names that we do not know grant nothing.
    #[must_use]
    pub fn from_words(words: &str) -> Self {
        Self(words.split_ascii_whitespace().filter_map(Permission::parse).collect())
    }

    /// The same list, separated by spaces.
    #[must_use]
    pub fn to_words(&self) -> String {
        self.0.iter().map(|permission| permission.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Whether this one is among them.
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

/// A client that has shown who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The tenant in whose name it acts: everything it stores and sees is this partner's.
    pub partner: PartnerId,
    /// The client itself, for the record.
    pub client_id: String,
    /// What else it may do.
    pub permissions: Permissions,
}
