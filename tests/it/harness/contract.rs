//! Checks the service's answers against `openapi.yaml`.
//!
//! An answer passes when its operation documents the status, the required headers are present and well-formed, the
//! content type is documented and the body fits the schema, formats included. An answer to an unknown path or method
//! passes only as a 404 or a 405. Errors must also agree with the document's table of codes and with the request id,
//! which no schema can express.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use axum::http::HeaderMap;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// The contract, read and compiled once.
pub(crate) static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| Contract::read(include_str!("../../../openapi.yaml")));

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// `openapi.yaml`, parsed, with compiled schemas.
pub(crate) struct Contract {
    error_table: Vec<ErrorRow>,
    unknown_path: Answer,
    unknown_method: Answer,
    operations: Vec<Operation>,
    document: Value,
}

/// One method of one path, and its documented answers.
pub(crate) struct Operation {
    pub(crate) id: String,
    /// In upper case.
    pub(crate) method: String,
    /// The template, such as `/v1/mfa/devices/{id}`.
    pub(crate) path: String,
    /// Whether it requires a bearer token.
    pub(crate) secured: bool,
    answers: BTreeMap<u16, Answer>,
}

/// A row of the document's table of errors.
#[derive(Debug, PartialEq)]
pub(crate) struct ErrorRow {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) title: String,
}

struct Answer {
    headers: Vec<Header>,
    content: BTreeMap<String, Content>,
}

enum Content {
    Free,
    Json(Arc<Validator>),
}

struct Header {
    name: String,
    required: bool,
    schema: Arc<Validator>,
}

impl Operation {
    /// The documented statuses, ascending.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        self.answers.keys().copied().collect()
    }

    fn owns(&self, path: &str) -> bool {
        let (template, path) = (self.path.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(part, given)| part == given || (part.starts_with('{') && !given.is_empty()))
    }
}

impl Contract {
    /// Checks one answer; `path` may have a query. Returns the operation, or `None` for a valid 404 or 405 that belongs
    /// to no operation.
    pub(crate) fn check(
        &self,
        method: &str,
        path: &str,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<&Operation>, String> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let siblings: Vec<&Operation> = self.operations.iter().filter(|operation| operation.owns(path)).collect();
        // A path with GET has HEAD too (RFC 9110 section 9.3.2).
        let wanted = if method == "HEAD" { "GET" } else { method };
        let operation = siblings.iter().find(|operation| operation.method == wanted).copied();

        let answer = match operation {
            Some(operation) => operation.answers.get(&status),
            None if siblings.is_empty() => (status == 404).then_some(&self.unknown_path),
            None => (status == 405).then_some(&self.unknown_method),
        };
        let verdict = match answer {
            None => Err("this status is not documented".to_owned()),
            Some(answer) if method == "HEAD" => answer.check_head(headers, body),
            Some(answer) => answer.check(headers, body).and_then(|body| self.check_errors(status, headers, &body)),
        };
        verdict.and_then(|()| if operation.is_none() { check_allow(&siblings, headers) } else { Ok(()) }).map_err(
            |fault| {
                let body = String::from_utf8_lossy(body);
                format!("{method} {path} answered {status}, which does not fit openapi.yaml: {fault}\nbody: {body}")
            },
        )?;
        Ok(operation)
    }

    /// All operations, by path.
    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The table of errors in the document's description.
    pub(crate) fn error_table(&self) -> &[ErrorRow] {
        &self.error_table
    }

    /// The document itself.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    fn read(yaml: &str) -> Self {
        let document: Value = serde_saphyr::from_str(yaml).expect("openapi.yaml is YAML");
        let mut compiler = Compiler { document: &document, cache: HashMap::new() };
        let mut operations = Vec::new();
        for (path, item) in members(&document["paths"]) {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    operations.push(compiler.operation(method, path, operation));
                }
            }
        }
        let unknown_path = compiler.answer(&document["components"]["responses"]["NotFound"]);
        let unknown_method = compiler.answer(&document["components"]["responses"]["MethodNotAllowed"]);
        let error_table = error_table(document["info"]["description"].as_str().expect("the document describes itself"));
        Self { error_table, unknown_path, unknown_method, operations, document }
    }

    fn check_errors(&self, status: u16, headers: &HeaderMap, body: &Value) -> Result<(), String> {
        let text = |error: &Value, field: &str| error[field].as_str().unwrap_or_default().to_owned();
        for error in body["errors"].as_array().into_iter().flatten() {
            let row = ErrorRow { status, code: text(error, "code"), title: text(error, "title") };
            if !self.error_table.contains(&row) {
                return Err(format!("the table of errors lacks {row:?}"));
            }
            // A replayed error has the id of the first request, whose log line has the cause.
            let is_replayed = headers.contains_key("idempotency-replayed");
            if !is_replayed
                && headers.get("x-request-id").is_none_or(|id| id.as_bytes() != text(error, "id").as_bytes())
            {
                return Err("the id of an error is not the request id".to_owned());
            }
        }
        Ok(())
    }
}

impl Answer {
    fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
        match self.check_headers(headers)? {
            None if body.is_empty() => Ok(Value::Null),
            None => Err("there must be no body".to_owned()),
            Some(Content::Free) => Ok(Value::Null),
            Some(Content::Json(schema)) => {
                let body = serde_json::from_slice(body).map_err(|fault| format!("the body is not JSON: {fault}"))?;
                faults(schema, &body).map_or(Ok(body), Err)
            }
        }
    }

    fn check_head(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        self.check_headers(headers)?;
        if body.is_empty() { Ok(()) } else { Err("there must be no body".to_owned()) }
    }

    /// Checks the headers. Returns the documented content of their content type, if the answer has content.
    fn check_headers(&self, headers: &HeaderMap) -> Result<Option<&Content>, String> {
        for header in &self.headers {
            match headers.get(&header.name).map(|value| value.to_str()) {
                None if header.required => return Err(format!("the header {} is missing", header.name)),
                Some(Ok(text)) if header.takes(text) => {}
                None => {}
                Some(value) => return Err(format!("the header {} must not be {value:?}", header.name)),
            }
        }
        let Some(content_type) = headers.get(CONTENT_TYPE) else {
            return if self.content.is_empty() { Ok(None) } else { Err("the content type is missing".to_owned()) };
        };
        let content_type = content_type.to_str().unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let content = self.content.get(essence);
        content.map(Some).ok_or_else(|| format!("the content type {content_type:?} is not documented"))
    }
}

impl Header {
    fn takes(&self, text: &str) -> bool {
        self.schema.is_valid(&json!(text))
            || text.parse::<i64>().is_ok_and(|number| self.schema.is_valid(&json!(number)))
    }
}

/// Reads parts of the document and compiles each distinct schema once.
struct Compiler<'a> {
    document: &'a Value,
    cache: HashMap<String, Arc<Validator>>,
}

impl Compiler<'_> {
    fn operation(&mut self, method: &str, path: &str, operation: &Value) -> Operation {
        let security = operation.get("security").unwrap_or(&self.document["security"]);
        Operation {
            id: operation["operationId"].as_str().expect("every operation has an id").to_owned(),
            method: method.to_uppercase(),
            path: path.to_owned(),
            secured: security.as_array().expect("a list").iter().any(|scheme| scheme.get("bearerAuth").is_some()),
            answers: members(&operation["responses"])
                .map(|(status, answer)| (status.parse().expect("a number"), self.answer(answer)))
                .collect(),
        }
    }

    fn answer(&mut self, answer: &Value) -> Answer {
        let answer = resolved(self.document, answer);
        let headers = members(&answer["headers"]).map(|(name, header)| {
            let header = resolved(self.document, header);
            Header {
                name: name.to_owned(),
                required: header["required"] == true,
                schema: self.schema(&header["schema"]),
            }
        });
        Answer {
            headers: headers.collect(),
            content: members(&answer["content"])
                .map(|(media_type, content)| (media_type.to_owned(), self.content(content)))
                .collect(),
        }
    }

    fn content(&mut self, content: &Value) -> Content {
        content.get("schema").map_or(Content::Free, |schema| Content::Json(self.schema(schema)))
    }

    fn schema(&mut self, schema: &Value) -> Arc<Validator> {
        Arc::clone(self.cache.entry(schema.to_string()).or_insert_with(|| Arc::new(compile(self.document, schema))))
    }
}

/// Follows a `$ref` within the document.
pub(crate) fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    let Some(reference) = part.get("$ref").and_then(Value::as_str) else { return part };
    let pointer = reference.strip_prefix('#').expect("every reference is local");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} has no target"))
}

/// Compiles a schema of the document; formats are asserted.
pub(crate) fn compile(document: &Value, schema: &Value) -> Validator {
    // References start at the root, so the schema must contain the named ones.
    let rooted = json!({ "allOf": [schema], "components": { "schemas": document["components"]["schemas"] } });
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(&rooted)
        .unwrap_or_else(|fault| panic!("{schema} is not a schema: {fault}"))
}

/// The schema violations of a value, if any.
pub(crate) fn faults(schema: &Validator, value: &Value) -> Option<String> {
    let faults: Vec<String> =
        schema.iter_errors(value).map(|fault| format!("at {:?}: {fault}", fault.instance_path().as_str())).collect();
    (!faults.is_empty()).then(|| faults.join("; "))
}

fn check_allow(siblings: &[&Operation], headers: &HeaderMap) -> Result<(), String> {
    let allowed = headers.get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let missing = siblings.iter().find(|operation| !allowed.split(',').any(|method| method.trim() == operation.method));
    missing.map_or(Ok(()), |operation| Err(format!("the header allow {allowed:?} lacks {}", operation.method)))
}

/// The rows of a table in Markdown whose first columns are status, `code` and title.
pub(crate) fn error_table(text: &str) -> Vec<ErrorRow> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [status, code, title, ..] = cells[..] else { return None };
        let status = status.parse().ok()?;
        Some(ErrorRow { status, code: code.trim_matches('`').to_owned(), title: title.to_owned() })
    };
    text.lines().filter_map(row).collect()
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
