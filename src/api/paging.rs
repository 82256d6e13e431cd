//! Query parameters and headers of lists in pages (docs/api-design.md#list-devices).
//!
//! Brackets may be raw or percent-encoded. Unknown parameters are ignored; a known one may occur once. The links `next`
//! and `prev` use cursors (keyset pagination): each page costs the same, and concurrent inserts and deletions neither
//! skip nor repeat an entry.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::api::cursor;
use crate::domain::invalid::{Faults, Invalid};
use crate::store::{COUNTED_EXACTLY, Listed, Page, PageStart, Position};

const DEFAULT_SIZE: i64 = 10;
pub(in crate::api) const MAX_SIZE: i64 = 1000;
/// Its product with the size cannot overflow.
const MAX_NUMBER: i64 = 2_147_483_647;

/// How many entries a page number may skip, since the database reads all of them. Cursors have no such limit.
pub(in crate::api) const MAX_SKIPPED: i64 = 100_000;

pub(in crate::api) const NUMBER: &str = "page[number]";
pub(in crate::api) const AFTER: &str = "page[after]";
pub(in crate::api) const BEFORE: &str = "page[before]";
pub(in crate::api) const SIZE: &str = "page[size]";

/// A page of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) enum Place {
    Number(i64),
    After(Position),
    Before(Position),
}

/// Which page of a list is requested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) struct Paging {
    place: Place,
    size: i64,
}

/// The filters of a list, for the links to its other pages.
pub(in crate::api) type Filters = Vec<(&'static str, String)>;

impl Paging {
    /// Reads `page[...]`. Faults are left in the parameters.
    pub(in crate::api) fn parse(parameters: &mut Parameters) -> Self {
        let number = parameters.take(NUMBER, None, |text| whole_number(text, MAX_NUMBER));
        let after = parameters.take(AFTER, None, cursor::read);
        let before = parameters.take(BEFORE, None, cursor::read);
        let size = parameters.take(SIZE, None, |text| whole_number(text, MAX_SIZE));
        let place = match (number, after, before) {
            (Some(_) | None, None, None) => Place::Number(number.unwrap_or(1)),
            (None, Some(position), None) => Place::After(position),
            (None, None, Some(position)) => Place::Before(position),
            (Some(_), _, _) => {
                let message = "must not come with page[after] or page[before]; leave one out";
                parameters.faults.push(Invalid::value(NUMBER, message));
                Place::Number(1)
            }
            (None, Some(_), Some(position)) => {
                let message = "must not come with page[after]; leave one out";
                parameters.faults.push(Invalid::value(BEFORE, message));
                Place::Before(position)
            }
        };
        Self { place, size: size.unwrap_or(DEFAULT_SIZE) }
    }

    /// Where the page begins, and its maximum number of entries.
    pub(in crate::api) fn start(&self) -> (PageStart, i64) {
        match self.place {
            // One entry shows that the list is that long; a page after the end of a list is empty.
            Place::Number(_) if self.skipped() > MAX_SKIPPED => (PageStart::Skipping(MAX_SKIPPED), 1),
            Place::Number(_) => (PageStart::Skipping(self.skipped()), self.size),
            Place::After(position) => (PageStart::After(position), self.size),
            Place::Before(position) => (PageStart::Before(position), self.size),
        }
    }

    /// Refuses a page number that skips too many entries. A page after the end of the list is not refused.
    pub(in crate::api) fn within_reach<T>(&self, page: &Page<T>) -> Result<(), Faults> {
        if self.skipped() <= MAX_SKIPPED || page.entries.is_empty() {
            return Ok(());
        }
        let last = MAX_SKIPPED / self.size + 1;
        let message = format!("must be at most {last} with this page[size]; follow the link `next` to get further");
        Err(vec![Invalid::value(NUMBER, message)])
    }

    /// How many entries the page number skips.
    fn skipped(&self) -> i64 {
        if let Place::Number(number) = self.place { (number - 1) * self.size } else { 0 }
    }

    /// The relative reference of another page: without a path it keeps the path of the request, including a prefix that
    /// a proxy removed (RFC 3986 section 5.2.2).
    fn target(&self, filters: &Filters, place: Place) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(filters);
        match place {
            Place::Number(number) => query.append_pair(NUMBER, &number.to_string()),
            Place::After(position) => query.append_pair(AFTER, &cursor::write(position)),
            Place::Before(position) => query.append_pair(BEFORE, &cursor::write(position)),
        };
        query.append_pair(SIZE, &self.size.to_string());
        format!("?{}", query.finish())
    }

    /// The links to other pages. The last page has a number if the total is exact and small.
    pub(in crate::api) fn links<T: Listed>(&self, page: &Page<T>) -> Vec<(&'static str, Place)> {
        let first = Place::Number(1);
        let last = if page.total <= COUNTED_EXACTLY {
            Place::Number((page.total.max(1) + self.size - 1) / self.size)
        } else {
            Place::Before(Position::OLDEST)
        };
        // An empty page has no entry for a cursor: `prev` is then the last page, `next` the first.
        let newest = page.entries.first().map(Position::of);
        let oldest = page.entries.last().map(Position::of);
        let mut links = vec![("first", first)];
        if page.has_newer {
            links.push(("prev", newest.map_or(last, Place::Before)));
        }
        if page.has_older {
            links.push(("next", oldest.map_or(first, Place::After)));
        }
        links.push(("last", last));
        links
    }

    /// `total`, `per-page` and `link` (RFC 8288).
    pub(in crate::api) fn headers<T: Listed>(&self, filters: &Filters, page: &Page<T>) -> HeaderMap {
        let link: Vec<String> = self
            .links(page)
            .into_iter()
            .map(|(rel, place)| format!("<{}>; rel=\"{rel}\"", self.target(filters, place)))
            .collect();

        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("total"), page.total.into());
        headers.insert(HeaderName::from_static("per-page"), self.size.into());
        if let Ok(link) = HeaderValue::from_str(&link.join(", ")) {
            headers.insert(header::LINK, link);
        }
        headers
    }
}

fn whole_number(text: &str, max: i64) -> Result<i64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 1 to {max}"))
}

/// `true` or `false`.
pub(in crate::api) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// The parameters of a query, and the faults found in them.
pub(in crate::api) struct Parameters {
    pairs: Vec<(String, String)>,
    pub(in crate::api) faults: Faults,
}

impl Parameters {
    pub(in crate::api) fn new(query: &str) -> Self {
        Self { pairs: form_urlencoded::parse(query.as_bytes()).into_owned().collect(), faults: Vec::new() }
    }

    /// The parsed value of a parameter; `None` without it, and when it has a fault.
    pub(in crate::api) fn take<T>(
        &mut self,
        name: &'static str,
        alias: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let mut values =
            self.pairs.iter().filter(|(key, _)| key == name || Some(key.as_str()) == alias).map(|(_, value)| value);
        let value = values.next()?;
        let parsed = if values.next().is_some() { Err("must be given only once".to_owned()) } else { parse(value) };
        parsed.map_err(|message| self.faults.push(Invalid::value(name, message))).ok()
    }

    /// The value, unless any parameter has a fault.
    pub(in crate::api) fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }
}
