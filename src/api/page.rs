//! The query and the headers of lists (contract section 4.2).
//!
//! Brackets may come raw or percent-encoded. Unknown parameters are ignored; a known one may come once.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::domain::invalid::{Faults, Invalid};
use crate::domain::person::PersonId;
use crate::store::{DeviceQuery, Tombstones};

const DEFAULT_SIZE: i64 = 10;
const MAX_SIZE: i64 = 1000;
/// Enough pages for anybody, and its product with the size is far from overflow.
const MAX_NUMBER: i64 = 2_147_483_647;

const PERSON_ID: &str = "filter[person_id]";
const INCLUDE_DELETED: &str = "filter[include_deleted]";
const NUMBER: &str = "page[number]";
const SIZE: &str = "page[size]";

/// What a caller asked to list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DeviceListing {
    person_id: Option<PersonId>,
    tombstones: Tombstones,
    number: i64,
    size: i64,
}

impl DeviceListing {
    pub(super) fn parse(query: &str) -> Result<Self, Faults> {
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
        let size = parameters.take(SIZE, None, |text| whole_number(text, MAX_SIZE));
        if !parameters.faults.is_empty() {
            return Err(parameters.faults);
        }
        Ok(Self {
            person_id,
            tombstones: tombstones.unwrap_or(Tombstones::Excluded),
            number: number.unwrap_or(1),
            size: size.unwrap_or(DEFAULT_SIZE),
        })
    }

    pub(super) fn query(&self) -> DeviceQuery {
        DeviceQuery {
            person_id: self.person_id.clone(),
            tombstones: self.tombstones,
            offset: (self.number - 1) * self.size,
            limit: self.size,
        }
    }

    /// The same list, another page: a reference without a path keeps the one that the caller asked, with whatever prefix a
    /// proxy has put before ours (RFC 3986 section 5.2.2).
    fn target(&self, number: i64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(person) = &self.person_id {
            query.append_pair(PERSON_ID, person.as_str());
        }
        if self.tombstones == Tombstones::Included {
            query.append_pair(INCLUDE_DELETED, "true");
        }
        query.append_pair(NUMBER, &number.to_string());
        query.append_pair(SIZE, &self.size.to_string());
        format!("?{}", query.finish())
    }
}

/// `total`, `per-page` and `link` (RFC 8288).
pub(super) fn page_headers(listing: &DeviceListing, total: i64) -> HeaderMap {
    let last = (total.max(1) + listing.size - 1) / listing.size;
    let mut links = vec![("first", 1)];
    if listing.number > 1 {
        links.push(("prev", (listing.number - 1).min(last)));
    }
    if listing.number < last {
        links.push(("next", listing.number + 1));
    }
    links.push(("last", last));
    let link: Vec<String> =
        links.into_iter().map(|(rel, number)| format!("<{}>; rel=\"{rel}\"", listing.target(number))).collect();

    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("total"), total.into());
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn brackets_may_be_encoded_or_not() {
        let raw = DeviceListing::parse("filter[person_id]=abc&page[number]=2&page[size]=5").unwrap();
        let encoded = DeviceListing::parse("filter%5Bperson_id%5D=abc&page%5Bnumber%5D=2&page%5Bsize%5D=5").unwrap();
        assert_eq!(raw, encoded);
        assert_eq!((raw.query().offset, raw.query().limit), (5, 5));
    }

    #[test]
    fn a_bare_person_id_is_an_alias() {
        assert_eq!(DeviceListing::parse("person_id=abc"), DeviceListing::parse("filter[person_id]=abc"));
    }

    #[test]
    fn bad_values_are_faults_all_at_once() {
        let faults =
            DeviceListing::parse("page[number]=0&page[size]=1001&filter[include_deleted]=yes&filter[person_id]=")
                .unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_deref().unwrap()).collect();
        assert_eq!(fields, ["filter[person_id]", "filter[include_deleted]", "page[number]", "page[size]"]);
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
    fn the_links_lead_through_all_pages() {
        let listing = DeviceListing::parse("person_id=a%26b&page[number]=2&page[size]=10").unwrap();
        let headers = page_headers(&listing, 25);
        let base = "?filter%5Bperson_id%5D=a%26b&page%5Bnumber%5D=";
        assert_eq!(
            headers["link"],
            format!(
                "<{base}1&page%5Bsize%5D=10>; rel=\"first\", <{base}1&page%5Bsize%5D=10>; rel=\"prev\", \
                 <{base}3&page%5Bsize%5D=10>; rel=\"next\", <{base}3&page%5Bsize%5D=10>; rel=\"last\""
            )
        );
        assert_eq!((&headers["total"], &headers["per-page"]), (&HeaderValue::from(25), &HeaderValue::from(10)));
    }

    #[test]
    fn an_empty_list_has_one_empty_page() {
        let headers = page_headers(&DeviceListing::parse("").unwrap(), 0);
        assert!(!headers["link"].to_str().unwrap().contains("next"));
    }

    proptest! {
        #[test]
        fn no_query_is_too_strange(query in ".{0,200}", number in any::<i64>(), size in any::<i64>()) {
            let _ = DeviceListing::parse(&query);
            if let Ok(listing) = DeviceListing::parse(&format!("page[number]={number}&page[size]={size}")) {
                prop_assert!(listing.query().offset >= 0 && (1..=MAX_SIZE).contains(&listing.query().limit));
                let _ = page_headers(&listing, number.saturating_abs());
            }
        }
    }
}
