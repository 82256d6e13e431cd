//! Query parameters of device lists (docs/api-design.md#list-devices).

use axum::http::HeaderMap;

use crate::api::paging::{Filters, Paging, Parameters, boolean};
use crate::domain::invalid::Faults;
use crate::domain::person::PersonId;
use crate::store::{DevicePage, DeviceQuery, Tombstones};

pub(in crate::api) const PERSON_ID: &str = "filter[person_id]";
const INCLUDE_DELETED: &str = "filter[include_deleted]";

/// The parsed query of a list request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::api) struct DeviceListing {
    person_id: Option<PersonId>,
    tombstones: Tombstones,
    pub(in crate::api) paging: Paging,
}

impl DeviceListing {
    pub(in crate::api) fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::new(query);
        let person_id = take_person(&mut parameters);
        let include_deleted = parameters.take(INCLUDE_DELETED, None, boolean);
        let tombstones = if include_deleted == Some(true) { Tombstones::Included } else { Tombstones::Excluded };
        let paging = Paging::parse(&mut parameters);
        parameters.finish(Self { person_id, tombstones, paging })
    }

    pub(in crate::api) fn query(&self) -> DeviceQuery {
        let (start, limit) = self.paging.start();
        DeviceQuery { person_id: self.person_id.clone(), tombstones: self.tombstones, start, limit }
    }

    pub(in crate::api) fn headers(&self, page: &DevicePage) -> HeaderMap {
        let mut filters = Filters::new();
        if let Some(person) = &self.person_id {
            filters.push((PERSON_ID, person.to_string()));
        }
        if self.tombstones == Tombstones::Included {
            filters.push((INCLUDE_DELETED, true.to_string()));
        }
        self.paging.headers(&filters, page)
    }
}

/// The filter by person. A bare `person_id` is an alias.
pub(in crate::api) fn take_person(parameters: &mut Parameters) -> Option<PersonId> {
    parameters.take(PERSON_ID, Some("person_id"), |text| {
        PersonId::parse(text).ok_or("must be 1 to 64 visible ASCII characters".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::api::cursor;
    use crate::api::paging::{AFTER, BEFORE, MAX_SIZE, MAX_SKIPPED, NUMBER, Place, SIZE};
    use crate::domain::devices::Device;
    use crate::domain::invalid::Invalid;
    use crate::store::{COUNTED_EXACTLY, PageStart, Position};

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
        DevicePage { total, entries: devices.iter().copied().map(device).collect(), has_newer, has_older }
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
        let headers = listing.headers(&page(5, &[3, 2], [true, true]));
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
        let links = |query: &str, sides| DeviceListing::parse(query).unwrap().paging.links(&page(25, &[], sides));
        let (first, last) = (("first", Place::Number(1)), ("last", Place::Number(3)));
        assert_eq!(links("page[number]=9", [true, false]), [first, ("prev", last.1), last]);
        assert_eq!(links("page[number]=1", [false, true]), [first, ("next", first.1), last]);
    }

    #[test]
    fn an_empty_list_has_one_empty_page() {
        let listing = DeviceListing::parse("").unwrap();
        let only = Place::Number(1);
        assert_eq!(listing.paging.links(&page(0, &[], [false, false])), [("first", only), ("last", only)]);
    }

    #[test]
    fn the_last_page_of_a_long_list_has_a_cursor() {
        let listing = DeviceListing::parse("").unwrap();
        let last = |total| listing.paging.links(&page(total, &[1], [false, true])).pop().unwrap();
        assert_eq!(last(COUNTED_EXACTLY), ("last", Place::Number(100)));
        assert_eq!(last(COUNTED_EXACTLY + 1), ("last", Place::Before(Position::OLDEST)));
    }

    #[test]
    fn a_page_number_is_refused_only_if_the_list_is_that_long() {
        let listing = |number| DeviceListing::parse(&format!("page[size]=1000&page[number]={number}")).unwrap();
        assert_eq!((listing(101).query().start, listing(101).query().limit), (PageStart::Skipping(100_000), 1000));
        assert_eq!((listing(102).query().start, listing(102).query().limit), (PageStart::Skipping(100_000), 1));
        let (some, none) = (page(200_000, &[1], [true, true]), page(3, &[], [true, false]));
        assert!(listing(101).paging.within_reach(&some).is_ok());
        assert!(listing(102).paging.within_reach(&none).is_ok());
        let faults = listing(102).paging.within_reach(&some).unwrap_err();
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
                let _ = listing.headers(&page(number.saturating_abs(), &[], [true, true]));
            }
        }
    }
}
