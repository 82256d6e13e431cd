//! The number of rows that an erasure found.

/// Number of rows of each kind that an erasure found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Erased {
    /// Mobile numbers: deleted.
    pub numbers: usize,
    /// Persons, with their binding: deleted.
    pub persons: usize,
    /// Devices: tombstones under the pseudonym.
    pub devices: usize,
    /// Keys: overwritten.
    pub keys: usize,
    /// Fraud assessments: under the pseudonym.
    pub assessments: usize,
    /// Texts of approvals that were answered: deleted.
    pub approval_texts: usize,
    /// Outcomes stored for idempotency keys: deleted.
    pub outcomes: usize,
    /// Audit events: without the person.
    pub events: usize,
}

impl Erased {
    /// Adds the counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            numbers: self.numbers + other.numbers,
            persons: self.persons + other.persons,
            devices: self.devices + other.devices,
            keys: self.keys + other.keys,
            assessments: self.assessments + other.assessments,
            approval_texts: self.approval_texts + other.approval_texts,
            outcomes: self.outcomes + other.outcomes,
            events: self.events + other.events,
        }
    }
}
