//! Query parameters of lists of activation codes (docs/api-design.md#activation-codes).

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use crate::api::devices::listing::{PERSON_ID, take_person};
use crate::api::fields::one_of;
use crate::api::paging::{Filters, Paging, Parameters, boolean};
use crate::domain::challenges::{ActivationFilter, ActivationPurpose, DeliveryMethod, Origin};
use crate::domain::invalid::Faults;
use crate::store::{ActivationPage, ActivationQuery};

const INCLUDE_EXPIRED: &str = "filter[include_expired]";
const ORIGIN: &str = "filter[origin]";
const PURPOSE: &str = "filter[purpose]";
const DELIVERY_METHOD: &str = "filter[delivery_method]";

/// The parsed query of a list request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ActivationListing {
    filter: ActivationFilter,
    includes_expired: bool,
    pub(super) paging: Paging,
}

impl ActivationListing {
    pub(super) fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::new(query);
        let person_id = take_person(&mut parameters);
        let include_expired = parameters.take(INCLUDE_EXPIRED, None, boolean);
        let origin = parameters.take(ORIGIN, None, one_of(Origin::parse, Origin::NAMES));
        let purpose = parameters.take(PURPOSE, None, one_of(ActivationPurpose::parse, ActivationPurpose::NAMES));
        let delivery_method =
            parameters.take(DELIVERY_METHOD, None, one_of(DeliveryMethod::parse, DeliveryMethod::NAMES));
        let paging = Paging::parse(&mut parameters);
        let filter = ActivationFilter { person_id, unexpired_at: None, origin, purpose, delivery_method };
        parameters.finish(Self { filter, includes_expired: include_expired.unwrap_or_default(), paging })
    }

    pub(super) fn query(&self, now: DateTime<Utc>) -> ActivationQuery {
        let (start, limit) = self.paging.start();
        let unexpired_at = (!self.includes_expired).then_some(now);
        ActivationQuery { filter: ActivationFilter { unexpired_at, ..self.filter.clone() }, start, limit }
    }

    pub(super) fn headers(&self, page: &ActivationPage) -> HeaderMap {
        let filter = &self.filter;
        let filters = [
            (PERSON_ID, filter.person_id.as_ref().map(ToString::to_string)),
            (INCLUDE_EXPIRED, self.includes_expired.then(|| true.to_string())),
            (ORIGIN, filter.origin.map(|origin| origin.as_str().to_owned())),
            (PURPOSE, filter.purpose.map(|purpose| purpose.as_str().to_owned())),
            (DELIVERY_METHOD, filter.delivery_method.map(|method| method.as_str().to_owned())),
        ];
        let filters: Filters = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.paging.headers(&filters, page)
    }
}
