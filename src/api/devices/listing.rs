//! Query parameters and headers of device lists (docs/api-design.md#list-devices).
//!
//! Brackets may be raw or percent-encoded. Unknown parameters are ignored; a known one may occur once. The links `next`
//! and `prev` use cursors (keyset pagination): each page costs the same, and concurrent inserts and deletions neither
//! skip nor repeat a device.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::api::devices::cursor;
use crate::domain::invalid::{Faults, Invalid};
use crate::domain::person::PersonId;
use crate::store::{COUNTED_EXACTLY, DevicePage, DeviceQuery, PageStart, Position, Tombstones};

const DEFAULT_SIZE: i64 = 10;
const MAX_SIZE: i64 = 1000;
/// Its product with the size cannot overflow.
const MAX_NUMBER: i64 = 2_147_483_647;

/// How many devices a page number may skip, since the database reads all of them. Cursors have no such limit.
const MAX_SKIPPED: i64 = 100_000;

const PERSON_ID: &str = "filter[person_id]";
const INCLUDE_DELETED: &str = "filter[include_deleted]";
const NUMBER: &str = "page[number]";
const AFTER: &str = "page[after]";
const BEFORE: &str = "page[before]";
const SIZE: &str = "page[size]";

/// A page of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Number(i64),
    After(Position),
    Before(Position),
}

/// The parsed query of a list request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::api) struct DeviceListing {
    person_id: Option<PersonId>,
    tombstones: Tombstones,
    place: Place,
    size: i64,
}

impl DeviceListing {
    pub(in crate::api) fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::new(query);
        let person_id = parameters.take(PERSON_ID, Some("person_id"), |text| {
            PersonId::parse(text).ok_or("must be 1 to 64 visible ASCII characters".to_owned())
        });
        let tombstones = parameters.take(INCLUDE_DELETED, None, |text| match text {
            "true" => Ok(Tombstones::Included),
            "false" => Ok(Tombstones::Excluded),
            _ => Err("must be true or false".to_owned()),
        });
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
        if !parameters.faults.is_empty() {
            return Err(parameters.faults);
        }
        Ok(Self {
            person_id,
            tombstones: tombstones.unwrap_or(Tombstones::Excluded),
            place,
            size: size.unwrap_or(DEFAULT_SIZE),
        })
    }

    pub(in crate::api) fn query(&self) -> DeviceQuery {
        let (start, limit) = match self.place {
            // One device shows that the list is that long; a page after the end of a list is empty.
            Place::Number(_) if self.skipped() > MAX_SKIPPED => (PageStart::Skipping(MAX_SKIPPED), 1),
            Place::Number(_) => (PageStart::Skipping(self.skipped()), self.size),
            Place::After(position) => (PageStart::After(position), self.size),
            Place::Before(position) => (PageStart::Before(position), self.size),
        };
        DeviceQuery { person_id: self.person_id.clone(), tombstones: self.tombstones, start, limit }
    }

    /// Refuses a page number that skips too many devices. A page after the end of the list is not refused.
    pub(in crate::api) fn within_reach(&self, page: &DevicePage) -> Result<(), Faults> {
        if self.skipped() <= MAX_SKIPPED || page.devices.is_empty() {
            return Ok(());
        }
        let last = MAX_SKIPPED / self.size + 1;
        let message = format!("must be at most {last} with this page[size]; follow the link `next` to get further");
        Err(vec![Invalid::value(NUMBER, message)])
    }

    /// How many devices the page number skips.
    fn skipped(&self) -> i64 {
        if let Place::Number(number) = self.place { (number - 1) * self.size } else { 0 }
    }

    /// The relative reference of another page: without a path it keeps the path of the request, including a prefix that
    /// a proxy removed (RFC 3986 section 5.2.2).
    fn target(&self, place: Place) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(person) = &self.person_id {
            query.append_pair(PERSON_ID, person.as_str());
        }
        if self.tombstones == Tombstones::Included {
            query.append_pair(INCLUDE_DELETED, "true");
        }
        match place {
            Place::Number(number) => query.append_pair(NUMBER, &number.to_string()),
            Place::After(position) => query.append_pair(AFTER, &cursor::write(position)),
            Place::Before(position) => query.append_pair(BEFORE, &cursor::write(position)),
        };
        query.append_pair(SIZE, &self.size.to_string());
        format!("?{}", query.finish())
    }

    /// The links to other pages. The last page has a number if the total is exact and small.
    fn links(&self, page: &DevicePage) -> Vec<(&'static str, Place)> {
        let first = Place::Number(1);
        let last = if page.total <= COUNTED_EXACTLY {
            Place::Number((page.total.max(1) + self.size - 1) / self.size)
        } else {
            Place::Before(Position::OLDEST)
        };
        // An empty page has no device for a cursor: `prev` is then the last page, `next` the first.
        let newest = page.devices.first().map(Position::of);
        let oldest = page.devices.last().map(Position::of);
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
}

/// `total`, `per-page` and `link` (RFC 8288).
pub(in crate::api) fn page_headers(listing: &DeviceListing, page: &DevicePage) -> HeaderMap {
    let link: Vec<String> = listing
        .links(page)
        .into_iter()
        .map(|(rel, place)| format!("<{}>; rel=\"{rel}\"", listing.target(place)))
        .collect();

    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("total"), page.total.into());
    headers.insert(HeaderName::from_static("per-page"), listing.size.into());
    if let Ok(link) = HeaderValue::from_str(&link.join(", ")) {
        headers.insert(header::LINK, link);
    }
    headers
}

fn whole_number(text: &str, max: i64) -> Result<i64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 1 to {max}"))
}

struct Parameters {
    pairs: Vec<(String, String)>,
    faults: Faults,
}

impl Parameters {
    fn new(query: &str) -> Self {
        Self { pairs: form_urlencoded::parse(query.as_bytes()).into_owned().collect(), faults: Vec::new() }
    }

    fn take<T>(
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
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::devices::Device;

    fn device(number: u8) -> Device {
        Device {
            id: Uuid::from_u128(number.into()).into(),
            person_id: PersonId::parse("ada").expect("a valid id"),
            name: None,
            created_at: DateTime::from_timestamp(number.into(), 0).expect("an instant"),
            deleted_at: None,
        }
    }

    fn page(total: i64, devices: &[u8], [has_newer, has_older]: [bool; 2]) -> DevicePage {
        DevicePage { total, devices: devices.iter().copied().map(device).collect(), has_newer, has_older }
    }

    fn cursor(number: u8) -> String {
        cursor::write(Position::of(&device(number)))
    }

    #[test]
    fn brackets_may_be_encoded_or_not() {
        let raw = DeviceListing::parse("filter[person_id]=abc&page[number]=2&page[size]=5").unwrap();
        let encoded = DeviceListing::parse("filter%5Bperson_id%5D=abc&page%5Bnumber%5D=2&page%5Bsize%5D=5").unwrap();
        assert_eq!(raw, encoded);
        assert_eq!((raw.query().start, raw.query().limit), (PageStart::Skipping(5), 5));
    }

    #[test]
    fn a_bare_person_id_is_an_alias() {
        assert_eq!(DeviceListing::parse("person_id=abc"), DeviceListing::parse("filter[person_id]=abc"));
    }

    #[test]
    fn all_invalid_values_are_reported_together() {
        let query = "page[number]=0&page[size]=1001&filter[include_deleted]=yes&filter[person_id]=\
                     &page[before]=1&page[after]=";
        let faults = DeviceListing::parse(query).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_deref().unwrap()).collect();
        assert_eq!(fields, [PERSON_ID, INCLUDE_DELETED, NUMBER, AFTER, BEFORE, SIZE]);
        for query in [
            "page[size]=+5",
            "page[size]=",
            "page[size]=1e3",
            "page[number]=99999999999999999999",
            "page[size]=1&page[size]=2",
        ] {
            assert!(DeviceListing::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn page_number_after_and_before_are_mutually_exclusive() {
        let cursor = cursor(1);
        for (query, field) in [
            (format!("page[number]=1&page[after]={cursor}"), NUMBER),
            (format!("page[before]={cursor}&page[number]=2"), NUMBER),
            (format!("page[before]={cursor}&page[after]={cursor}"), BEFORE),
            (format!("page[before]={cursor}&page[after]={cursor}&page[number]=1"), NUMBER),
            (format!("page[after]={cursor}&page[after]={cursor}"), AFTER),
        ] {
            let faults = DeviceListing::parse(&query).unwrap_err();
            let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_deref().unwrap()).collect();
            assert_eq!(fields, [field], "{query}");
        }
    }

    #[test]
    fn the_links_use_the_first_and_last_device_of_the_page() {
        let listing = DeviceListing::parse("person_id=a%26b&page[number]=2&page[size]=2").unwrap();
        let headers = page_headers(&listing, &page(5, &[3, 2], [true, true]));
        let [newer, older] = [cursor(3), cursor(2)];
        let base = "?filter%5Bperson_id%5D=a%26b&page%5B";
        assert_eq!(
            headers["link"],
            format!(
                "<{base}number%5D=1&page%5Bsize%5D=2>; rel=\"first\", \
                 <{base}before%5D={newer}&page%5Bsize%5D=2>; rel=\"prev\", \
                 <{base}after%5D={older}&page%5Bsize%5D=2>; rel=\"next\", \
                 <{base}number%5D=3&page%5Bsize%5D=2>; rel=\"last\""
            )
        );
        assert_eq!((&headers["total"], &headers["per-page"]), (&HeaderValue::from(5), &HeaderValue::from(2)));
    }

    #[test]
    fn an_empty_page_links_to_the_nearest_page_with_devices() {
        let links = |query: &str, sides| DeviceListing::parse(query).unwrap().links(&page(25, &[], sides));
        let (first, last) = (("first", Place::Number(1)), ("last", Place::Number(3)));
        assert_eq!(links("page[number]=9", [true, false]), [first, ("prev", last.1), last]);
        assert_eq!(links("page[number]=1", [false, true]), [first, ("next", first.1), last]);
    }

    #[test]
    fn an_empty_list_has_one_empty_page() {
        let listing = DeviceListing::parse("").unwrap();
        let only = Place::Number(1);
        assert_eq!(listing.links(&page(0, &[], [false, false])), [("first", only), ("last", only)]);
    }

    #[test]
    fn the_last_page_of_a_long_list_has_a_cursor() {
        let listing = DeviceListing::parse("").unwrap();
        let last = |total| listing.links(&page(total, &[1], [false, true])).pop().unwrap();
        assert_eq!(last(COUNTED_EXACTLY), ("last", Place::Number(100)));
        assert_eq!(last(COUNTED_EXACTLY + 1), ("last", Place::Before(Position::OLDEST)));
    }

    #[test]
    fn a_page_number_is_refused_only_if_the_list_is_that_long() {
        let listing = |number| DeviceListing::parse(&format!("page[size]=1000&page[number]={number}")).unwrap();
        assert_eq!((listing(101).query().start, listing(101).query().limit), (PageStart::Skipping(100_000), 1000));
        assert_eq!((listing(102).query().start, listing(102).query().limit), (PageStart::Skipping(100_000), 1));
        let (some, none) = (page(200_000, &[1], [true, true]), page(3, &[], [true, false]));
        assert!(listing(101).within_reach(&some).is_ok());
        assert!(listing(102).within_reach(&none).is_ok());
        let faults = listing(102).within_reach(&some).unwrap_err();
        let message = "must be at most 101 with this page[size]; follow the link `next` to get further";
        assert_eq!(faults, [Invalid::value(NUMBER, message)]);
    }

    proptest! {
        #[test]
        fn no_query_panics(query in ".{0,200}", number in any::<i64>(), size in any::<i64>()) {
            let _ = DeviceListing::parse(&query);
            if let Ok(listing) = DeviceListing::parse(&format!("page[number]={number}&page[size]={size}")) {
                let query = listing.query();
                prop_assert!((1..=MAX_SIZE).contains(&query.limit));
                prop_assert!(matches!(query.start, PageStart::Skipping(0..=MAX_SKIPPED)));
                let _ = page_headers(&listing, &page(number.saturating_abs(), &[], [true, true]));
            }
        }
    }
}
