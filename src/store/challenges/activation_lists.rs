//! Lists of activation codes: one page, and the total number.
//!
//! The total is counted with each page. The statements of a person's codes and of all codes of a partner are separate,
//! because an optional filter by person would prevent the index scan.

use sqlx::Row;
use uuid::Uuid;

use crate::domain::challenges::{ActivationChallenge, ActivationFilter};
use crate::domain::person::PartnerId;
use crate::store::Result;
use crate::store::challenges::activation::activation;
use crate::store::dialect::Dialect;
use crate::store::lists::{Listed, Page, PageStart};
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;

impl Listed for ActivationChallenge {
    fn place(&self) -> Uuid {
        self.id.uuid()
    }
}

/// The activation codes to list.
#[derive(Clone, Debug)]
pub struct ActivationQuery {
    /// Which codes.
    pub filter: ActivationFilter,
    /// Where the page begins.
    pub start: PageStart,
    /// Maximum number of codes on the page.
    pub limit: i64,
}

/// One page of activation codes.
pub type ActivationPage = Page<ActivationChallenge>;

/// Lists of activation codes.
#[macro_rules_attribute::apply(port)]
pub trait ActivationLists {
    /// A page of codes with the total.
    async fn activations(&self, partner: &PartnerId, query: &ActivationQuery) -> Result<ActivationPage>;
}

#[async_trait::async_trait]
impl<DB: Dialect> ActivationLists for SqlStore<DB> {
    async fn activations(&self, partner: &PartnerId, query: &ActivationQuery) -> Result<ActivationPage> {
        let (position, skipped) = query.start.from();
        let filter = &query.filter;
        // One extra row tells whether there are more.
        let mut statement = sqlx::query(statement(query))
            .bind(partner.as_str().to_owned())
            .bind(position.0)
            .bind(query.limit + 1)
            .bind(skipped)
            .bind(filter.unexpired_at)
            .bind(filter.origin.map(|origin| origin.as_str().to_owned()))
            .bind(filter.purpose.map(|purpose| purpose.as_str().to_owned()))
            .bind(filter.delivery_method.map(|method| method.as_str().to_owned()));
        if let Some(person) = &filter.person_id {
            statement = statement.bind(person.as_str().to_owned());
        }
        let rows = self.rows(statement).await?;
        // Every row has the total; the only row of an empty page has nothing else.
        let total = rows.first().map_or(Ok(0), |row| column::<DB, i64>(row, "total"))?;
        let codes = rows
            .iter()
            .filter(|row| row.try_get::<Option<Uuid>, _>("code_id").is_ok_and(|id| id.is_some()))
            .map(activation::<DB>)
            .collect::<Result<_>>()?;
        Ok(Page::of(query.start, query.limit, total, codes))
    }
}

/// The page and the total in one statement, for a consistent snapshot.
macro_rules! list {
    ($whose:literal, $compare:literal, $order:literal) => {
        concat!(
            "select counts.total, page.code_id, page.person_id, page.origin, page.purpose, page.delivery_method
                  , page.otp_version, page.expires_at, page.used_at
               from (select count(*) as total
                       from activation_code
                      where ",
            list!(@filter $whose),
            "              ) counts
               left join (select code_id, person_id, origin, purpose, delivery_method, otp_version, expires_at, used_at
                            from activation_code
                           where ",
            list!(@filter $whose),
            "                and code_id ",
            $compare,
            " $2
                           order by ",
            $order,
            "              limit $3 offset $4) page on true
              order by page.code_id desc"
        )
    };
    (@filter $whose:literal) => {
        concat!(
            $whose,
            " and ($5 is null or expires_at > $5)
              and ($6 is null or origin = $6)
              and ($7 is null or purpose = $7)
              and ($8 is null or delivery_method = $8)
            "
        )
    };
}

macro_rules! of_partner {
    ($compare:literal, $order:literal) => {
        list!("partner_id = $1", $compare, $order)
    };
}

macro_rules! of_person {
    ($compare:literal, $order:literal) => {
        list!("partner_id = $1 and person_id = $9", $compare, $order)
    };
}

fn statement(query: &ActivationQuery) -> &'static str {
    match (&query.filter.person_id, query.start) {
        (None, PageStart::Before(_)) => of_partner!(">", "code_id"),
        (None, _) => of_partner!("<", "code_id desc"),
        (Some(_), PageStart::Before(_)) => of_person!(">", "code_id"),
        (Some(_), _) => of_person!("<", "code_id desc"),
    }
}
