//! Pages of lists: keyset pagination by id, the same for every list.
//!
//! Lists are ordered by id, newest first: ids are `UUIDv7` and begin with the instant of creation.

use uuid::Uuid;

/// An entry of a list.
pub trait Listed {
    /// Its id, by which lists are ordered.
    fn place(&self) -> Uuid;
}

/// The position of an entry in every list, whatever its filter: lists are ordered by id, newest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position(pub Uuid);

impl Position {
    /// Before the newest entry.
    pub const NEWEST: Self = Self(Uuid::max());
    /// After the oldest entry.
    pub const OLDEST: Self = Self(Uuid::nil());

    /// The position of this entry.
    #[must_use]
    pub fn of(entry: &impl Listed) -> Self {
        Self(entry.place())
    }
}

/// Where a page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageStart {
    /// At the newest entry, skipping this many.
    Skipping(i64),
    /// At the first entry that is older.
    After(Position),
    /// The page that ends with the last newer entry.
    Before(Position),
}

impl PageStart {
    /// The position to read from, and how many entries to skip there.
    pub(in crate::store) fn from(self) -> (Position, i64) {
        match self {
            Self::Skipping(entries) => (Position::NEWEST, entries),
            Self::After(position) | Self::Before(position) => (position, 0),
        }
    }
}

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Number of entries on all pages.
    pub total: i64,
    /// The entries of this page.
    pub entries: Vec<T>,
    /// Whether there may be newer entries before this page.
    pub has_newer: bool,
    /// Whether there may be older entries after this page.
    pub has_older: bool,
}

impl<T> Page<T> {
    /// The page of these entries, of which one more than `limit` was read to tell whether there are more.
    pub(in crate::store) fn of(start: PageStart, limit: i64, total: i64, mut entries: Vec<T>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = entries.len() > limit;
        let (has_newer, has_older) = match start {
            PageStart::Skipping(skipped) => (skipped > 0, has_more),
            PageStart::After(_) => (true, has_more),
            PageStart::Before(position) => (has_more, position != Position::OLDEST),
        };
        if let PageStart::Before(_) = start {
            entries.drain(..entries.len().saturating_sub(limit));
        } else {
            entries.truncate(limit);
        }
        Self { total, entries, has_newer, has_older }
    }
}
