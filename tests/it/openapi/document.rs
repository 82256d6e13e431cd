//! `openapi.yaml` is consistent: examples match their schemas, answers allow no unknown fields, and each error code has
//! a row in the table.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::contract::{CONTRACT, compile, faults, resolved};

#[test]
fn every_example_matches_its_schema() {
    let mut seen = 0;
    let mut wrong = String::new();
    visit(CONTRACT.document(), "", &mut |place, part| {
        let (schema, examples) = match (part.get("schema"), part.get("examples")) {
            (Some(schema), Some(Value::Object(named))) => (schema, named.values().map(example_value).collect()),
            (Some(schema), _) => (schema, part.get("example").into_iter().collect::<Vec<_>>()),
            (None, Some(Value::Array(values))) => (part, values.iter().collect()),
            _ => return,
        };
        for example in examples {
            seen += 1;
            if let Some(faults) = faults(&compile(CONTRACT.document(), schema), example) {
                writeln!(wrong, "{place}: {faults}").expect("writing to a string cannot fail");
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen > 50, "only {seen} examples found: the traversal misses some");
}

#[test]
fn every_answer_in_json_has_a_schema_and_an_example() {
    visit(CONTRACT.document(), "", &mut |place, part| {
        let Some(content) = part.get("content").and_then(|content| content.get("application/json")) else { return };
        assert!(content.get("schema").is_some(), "{place} has no schema");
        assert!(content.get("example").or(content.get("examples")).is_some(), "{place} has no example");
    });
}

#[test]
fn schemas_of_answers_allow_no_unknown_fields_and_no_null() {
    let mut open = Vec::new();
    for (status, answer) in every_answer() {
        for schema in
            answer["content"].as_object().into_iter().flatten().filter_map(|(_, content)| content.get("schema"))
        {
            find_open_objects(schema, &status, &mut open);
        }
    }
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn secured_operations_document_401_403_500_and_503() {
    for operation in CONTRACT.operations().iter().filter(|operation| operation.secured) {
        let statuses = operation.statuses();
        assert!([401, 403, 500, 503].iter().all(|status| statuses.contains(status)), "{}: {statuses:?}", operation.id);
        let is_of_api = operation.path.starts_with("/v1/") || operation.path.starts_with("/sandbox/");
        assert!(is_of_api, "{} needs a token", operation.path);
    }
    let open: Vec<&str> =
        CONTRACT.operations().iter().filter(|operation| !operation.secured).map(|operation| &*operation.id).collect();
    assert_eq!(
        open,
        [
            "createToken",
            "createTokenFromJson",
            "getHealth",
            "getReadiness",
            "getOpenApiDocument",
            "getDocs",
            "getDocsFile",
            "getPhonePage",
            "getPhonePageFile",
        ]
    );
}

#[test]
fn operation_ids_are_unique() {
    let ids: BTreeSet<&str> = CONTRACT.operations().iter().map(|operation| &*operation.id).collect();
    assert_eq!(ids.len(), CONTRACT.operations().len());
    assert!(ids.contains("verifySignatureChallenge"), "{ids:?}");
}

#[test]
fn every_link_sets_the_parameters_of_its_operation() {
    let document = CONTRACT.document();
    let mut seen = 0;
    for (place, answer) in every_answer() {
        for link in answer["links"].as_object().into_iter().flatten().map(|(_, link)| link) {
            seen += 1;
            let target = CONTRACT.operations().iter().find(|operation| link["operationId"] == *operation.id);
            let target = target.unwrap_or_else(|| panic!("{place}: {link} names no operation"));
            let given: BTreeSet<&str> =
                link["parameters"].as_object().expect("parameters").keys().map(|it| &**it).collect();
            let needed = document["paths"][&target.path]["parameters"].as_array().into_iter().flatten();
            let needed: BTreeSet<&str> =
                needed.filter_map(|parameter| resolved(document, parameter)["name"].as_str()).collect();
            assert_eq!(given, needed, "{place}: {link}");
        }
    }
    assert!(seen > 20, "only {seen} links");
}

#[test]
fn the_table_of_errors_has_one_row_for_every_code() {
    let schema = &CONTRACT.document()["components"]["schemas"]["ErrorCode"]["enum"];
    let codes: BTreeSet<&str> = schema.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let rows: BTreeSet<&str> = CONTRACT.error_table().iter().map(|row| &*row.code).collect();
    assert_eq!(rows, codes);
    assert_eq!(CONTRACT.error_table().len(), codes.len());
}

/// Calls `look` with every object of the document, except in examples.
fn visit(part: &Value, place: &str, look: &mut impl FnMut(&str, &Value)) {
    match part {
        Value::Object(members) => {
            look(place, part);
            for (name, member) in members.iter().filter(|(name, _)| !["example", "examples"].contains(&name.as_str())) {
                visit(member, &format!("{place}/{name}"), look);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                visit(element, &format!("{place}/{index}"), look);
            }
        }
        _ => {}
    }
}

fn example_value(example: &Value) -> &Value {
    &resolved(CONTRACT.document(), example)["value"]
}

fn every_answer() -> impl Iterator<Item = (String, &'static Value)> {
    let document = CONTRACT.document();
    CONTRACT.operations().iter().flat_map(move |operation| {
        let answers = &document["paths"][&operation.path][operation.method.to_lowercase()]["responses"];
        operation
            .statuses()
            .into_iter()
            .map(move |status| (format!("{} {status}", operation.id), resolved(document, &answers[status.to_string()])))
    })
}

fn find_open_objects(schema: &Value, place: &str, open: &mut Vec<String>) {
    let schema = resolved(CONTRACT.document(), schema);
    if schema["type"] == "object" && schema["additionalProperties"] != false {
        open.push(format!("{place} takes unknown fields"));
    }
    if schema["type"].as_array().is_some_and(|types| types.contains(&json!("null"))) {
        open.push(format!("{place} may be null"));
    }
    for part in ["properties", "allOf"].into_iter().filter_map(|keyword| schema.get(keyword)) {
        visit(part, place, &mut |place, part| {
            if ["type", "$ref", "items"].iter().any(|keyword| part.get(keyword).is_some()) {
                find_open_objects(part, place, open);
            }
        });
    }
    if let Some(items) = schema.get("items") {
        find_open_objects(items, place, open);
    }
}
