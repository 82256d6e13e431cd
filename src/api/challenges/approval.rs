//! The `approval` of a body (docs/api-design.md#approvals).

use crate::api::fields::{Fields, Parsed};
use crate::domain::approvals::{
    Amount, AmountText, Approval, BatchPayee, DETAILS_MAX, Detail, Label, LineValue, PAYEES_MAX, Payee, Recipients,
    currency,
};

/// Reads the fields of an approval. All faults are noted, also those that only several fields together show.
pub(super) fn approval(fields: &mut Fields) -> Option<Approval> {
    let action = fields.required("action", label);
    let amount = fields.optional_object("amount", amount);
    let payee = fields.optional_object("payee", payee);
    let payees = fields.optional_array("payees", PAYEES_MAX, |inner| batch_payee(inner, amount.as_ref()));
    let reference = fields.optional("reference", line_value);
    let details = fields.optional_array("details", DETAILS_MAX, detail);
    let (action, payees, details) = (action?, payees?, details?);
    let approval = Approval { action, amount, recipients: Recipients { payee, payees }, reference, details };
    for (name, message) in approval.contradictions() {
        fields.fault(&name, message);
    }
    Some(approval)
}

fn amount(fields: &mut Fields) -> Option<Amount> {
    // A value is judged by the digits of its currency.
    let currency = fields.required("currency", |text| currency(text).map_err(|error| error.to_string()));
    fields.required("value", |text| {
        currency.map(|currency| Amount::new(text, currency)).transpose().map_err(|error| error.to_string())
    })?
}

fn payee(fields: &mut Fields) -> Option<Payee> {
    let name = fields.required("name", line_value);
    let account = fields.optional("account", line_value);
    Some(Payee { name: name?, account })
}

fn batch_payee(fields: &mut Fields, total: Option<&Amount>) -> Option<BatchPayee> {
    let payee = payee(fields);
    let amount = fields.required("amount", |text| {
        let amount = total.map(|total| AmountText::parse(text, total.currency()));
        amount.transpose().map_err(|error| error.to_string())
    });
    Some(BatchPayee { payee: payee?, amount: amount?? })
}

fn detail(fields: &mut Fields) -> Option<Detail> {
    let label = fields.required("label", label);
    let value = fields.required("value", line_value);
    Some(Detail { label: label?, value: value? })
}

fn label(text: &str) -> Parsed<Label> {
    Label::parse(text).map_err(|error| error.to_string())
}

pub(super) fn line_value(text: &str) -> Parsed<LineValue> {
    LineValue::parse(text).map_err(|error| error.to_string())
}
