//! What a person is asked to approve: a payment, or another action of the partner's (docs/api-design.md#approvals).
//!
//! An approval is valid in itself: its amounts add up, its texts are in one normal form and have nothing that a screen would
//! show differently. Its lines are part of the text that the phone signs.

mod amount;
mod value;

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use amount::{Amount, AmountText, InvalidAmount, UnknownCurrency, currency};
pub use value::{InvalidLabel, InvalidValue, Label, LineValue, VALUE_MAX};

/// The action that needs an amount and a payee.
pub const PAYMENT: &str = "payment";

/// The most payees of a batch.
pub const PAYEES_MAX: usize = 10;

/// The most details.
pub const DETAILS_MAX: usize = 20;

/// What a person is asked to approve. Its form as JSON is that of the API, in which it is also stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What is to be done.
    pub action: Label,
    /// The amount; of a batch the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// To whom.
    #[serde(flatten)]
    pub recipients: Recipients,
    /// The reference of a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<LineValue>,
    /// Further lines, in the partner's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// To whom an amount goes: to one payee, to several, or to none.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipients {
    /// The only payee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payee: Option<Payee>,
    /// The payees of a batch; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payees: Vec<BatchPayee>,
}

/// A payee.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    /// The name.
    pub name: LineValue,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<LineValue>,
}

/// A payee of a batch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPayee {
    /// Name and account.
    #[serde(flatten)]
    pub payee: Payee,
    /// The part of the total, in the total's currency.
    pub amount: AmountText,
}

/// A further line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The name of the line.
    pub label: Label,
    /// Its value.
    pub value: LineValue,
}

impl Approval {
    /// The stored form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an approval has text keys alone")
    }

    /// Reads the stored form; `None` if it is none.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Faults that several fields together show: each with its path within the approval, and what to do.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        let Recipients { payee, payees } = &self.recipients;
        let is_payment = self.action.as_str() == PAYMENT;
        match &self.amount {
            None if is_payment => found.push(("amount".to_owned(), "is required for a payment")),
            None if !payees.is_empty() => found.push(("amount".to_owned(), "is required with payees: their total")),
            None => {}
            Some(total) => {
                let sum: u64 = payees.iter().map(|payee| payee.amount.minor_units()).sum();
                if !payees.is_empty() && sum != total.value().minor_units() {
                    found.push(("amount.value".to_owned(), "must be the sum of the payees' amounts"));
                }
            }
        }
        if is_payment && payee.is_none() && payees.is_empty() {
            found.push(("payee".to_owned(), "is required for a payment"));
        }
        if payee.is_some() && !payees.is_empty() {
            found.push(("payees".to_owned(), "must not stand beside payee"));
        }
        let mut labels = HashSet::new();
        for (place, detail) in self.details.iter().enumerate() {
            if detail.label.is_typed() {
                found.push((format!("details[{place}].label"), "must not be the name of a line of the service"));
            } else if !labels.insert(&detail.label) {
                found.push((format!("details[{place}].label"), "must not stand twice"));
            }
        }
        found
    }

    /// The lines of the text to sign, in their order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("action: {}", self.action)];
        let currency = self.amount.as_ref().map_or("", Amount::currency_code);
        if let Some(amount) = &self.amount {
            lines.push(format!("amount: {} {currency}", amount.value()));
        }
        if let Some(payee) = &self.recipients.payee {
            payee.add_lines("", &mut lines);
        }
        for (number, payee) in (1..).zip(&self.recipients.payees) {
            payee.payee.add_lines(&format!("-{number}"), &mut lines);
            lines.push(format!("amount-{number}: {} {currency}", payee.amount));
        }
        if let Some(reference) = &self.reference {
            lines.push(format!("reference: {reference}"));
        }
        lines.extend(self.details.iter().map(|detail| format!("{}: {}", detail.label, detail.value)));
        lines
    }
}

impl Payee {
    fn add_lines(&self, suffix: &str, lines: &mut Vec<String>) {
        lines.push(format!("payee{suffix}: {}", self.name));
        if let Some(account) = &self.account {
            lines.push(format!("account{suffix}: {account}"));
        }
    }
}

/// Says that there is an approval and nothing about it: it names persons and their accounts.
impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").finish_non_exhaustive()
    }
}
