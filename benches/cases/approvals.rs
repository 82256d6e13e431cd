//! An approval as JSON, and the text to sign that is composed of it.

use device_management::domain::approvals::Approval;

use super::Case;
use super::world;

/// A batch of two payees.
pub(super) const APPROVAL: &str = r#"{
    "action": "payment",
    "amount": {"value": "37.50", "currency": "EUR"},
    "payees": [
        {"name": "Café Müller GmbH", "account": "DE89370400440532013000", "amount": "12.50"},
        {"name": "Stadtwerke Musterstadt", "account": "DE02120300000000202051", "amount": "25.00"}
    ],
    "reference": "Invoice 4711",
    "details": [{"label": "execution-date", "value": "2022-03-21"}]
}"#;

pub(super) fn cases() -> Vec<Case> {
    let approval = Approval::from_json(APPROVAL).expect("a good approval");
    let same = approval.clone();
    vec![
        Case::new(
            "approval/compose_text",
            move || world::text_to_sign(Some(&approval)),
            |text| text.as_str().ends_with("reference: Invoice 4711\nexecution-date: 2022-03-21"),
        ),
        Case::new(
            "approval/parse",
            || Approval::from_json(APPROVAL).filter(|approval| approval.contradictions().is_empty()),
            move |approval| approval.as_ref() == Some(&same),
        ),
    ]
}
