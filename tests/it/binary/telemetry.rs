//! Metrics on their own listener, and one log line for each request.

use std::collections::{BTreeMap, BTreeSet};

use device_management::outbound;
use device_management::telemetry::METRICS;
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::PATIENCE;
use crate::harness::{Phone, Program, Service, TestClient};

/// The code of the sandbox.
const CODE: &str = "212212";
const DEVICE_DATA: &str = "Web;179ac83968ab42f7con;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8";

/// Every series with its value, by `name{label="value",...}` with the labels in alphabetical order.
async fn metrics(service: &Service) -> BTreeMap<String, f64> {
    let text = service.metrics().await;
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
        labels.sort_unstable();
        (format!("{name}{{{}}}", labels.join(",")), value.parse().unwrap())
    });
    series.collect()
}

/// A service with a double of SEON that approves every request.
async fn service_with_seon() -> (Service, MockServer) {
    let seon = MockServer::start().await;
    let approval = json!({"success": true, "data": {"id": "1", "state": "APPROVE", "fraud_score": 1}});
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200).set_body_json(approval)).mount(&seon).await;
    let program =
        Program::new().with("SEON_API_KEY", "key").with("SEON_BASE_URL", &seon.uri()).with("LOG_FORMAT", "json");
    (program.serve(), seon)
}

/// Binds a device after one wrong answer, and adds a key; the device's id.
async fn bind_a_device(client: &TestClient) -> String {
    client.verified_person("ada").await;
    let (phone, other) = (Phone::new(1), Phone::new(2));
    let device_body =
        json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key(), "device_data": DEVICE_DATA});
    let asked = client.post("/v1/mfa/devices", device_body).await;
    asked.assert_status(202);
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    client.answer(&id, &phone.sign("000000")).await.assert_status(403);
    client.answer(&id, &phone.sign(CODE)).await.assert_status(204);
    let vouched = json!({"signature_key_purpose": "unrestricted", "signature": phone.sign(&other.key())});
    let key = json!({"key_type": "ecdsa-p256", "key": other.key(), "device_signature": vouched});
    client.post(&format!("/v1/mfa/devices/{id}/keys"), key).await.assert_status(201);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_events_with_labels_of_low_cardinality() {
    let (service, _seon) = service_with_seon().await;
    let client = service.sandbox_client().await;
    let id = bind_a_device(&client).await;
    client.get(&format!("/v1/mfa/devices/{id}")).await.assert_status(200);
    client.get("/v1/no/such/route").await.assert_status(404);
    outbound::client().unwrap().request("BREW".parse().unwrap(), service.base_url()).send().await.unwrap();

    let metrics = metrics(&service).await;
    let challenge = r#"route="/v1/mfa/challenges/signatures/{id}""#;
    for (series, expected) in [
        (r#"http_requests_total{method="POST",route="/oauth/token",status="200"}"#.to_owned(), 1.0),
        (r#"http_requests_total{method="POST",route="/v1/mfa/devices",status="202"}"#.to_owned(), 1.0),
        (format!(r#"http_requests_total{{method="PUT",{challenge},status="403"}}"#), 1.0),
        (format!(r#"http_requests_total{{method="PUT",{challenge},status="204"}}"#), 1.0),
        (r#"http_requests_total{method="GET",route="unmatched",status="404"}"#.to_owned(), 1.0),
        (r#"http_requests_total{method="OTHER",route="unmatched",status="404"}"#.to_owned(), 1.0),
        (r#"http_request_duration_seconds_count{method="POST",route="/v1/mfa/devices",status="202"}"#.to_owned(), 1.0),
        (r#"signature_verifications_total{outcome="wrong",purpose="binding"}"#.to_owned(), 1.0),
        (r#"signature_verifications_total{outcome="accepted",purpose="binding"}"#.to_owned(), 1.0),
        (r#"signature_verifications_total{outcome="accepted",purpose="key"}"#.to_owned(), 1.0),
        (r#"sms_messages_total{outcome="accepted",provider="console"}"#.to_owned(), 1.0),
        (r#"sms_send_duration_seconds_count{provider="console"}"#.to_owned(), 1.0),
        (r#"sms_provider_open{provider="console"}"#.to_owned(), 0.0),
        (r#"fraud_checks_total{action="device_binding",state="approve"}"#.to_owned(), 1.0),
        ("fraud_check_duration_seconds_count{}".to_owned(), 1.0),
        (r#"database_connections{state="used"}"#.to_owned(), 0.0),
        ("panics_total{}".to_owned(), 0.0),
        (r#"background_runs_total{outcome="failed",task="sms_conversion"}"#.to_owned(), 0.0),
        (r#"background_runs_total{outcome="held_elsewhere",task="housekeeping"}"#.to_owned(), 0.0),
    ] {
        assert_eq!(metrics.get(&series), Some(&expected), "{series}: {metrics:#?}");
    }
    assert!(metrics[r#"database_connections{state="idle"}"#] >= 1.0);
    let slowest =
        r#"http_request_duration_seconds_bucket{le="+Inf",method="POST",route="/v1/mfa/devices",status="202"}"#;
    assert_eq!(metrics.get(slowest), Some(&1.0), "durations are histograms: {metrics:#?}");
    assert!(metrics.keys().all(|series| !series.contains(&id) && !series.contains("ada")), "{metrics:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_has_help_and_its_documented_labels() {
    let (service, _seon) = service_with_seon().await;
    bind_a_device(&service.sandbox_client().await).await;
    let text = service.metrics().await;
    let names = |prefix: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let mut names: Vec<String> = lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        names.sort();
        names
    };
    let exposed = names("# TYPE ");
    assert!(exposed.len() >= 14, "{exposed:?}");
    assert_eq!(names("# HELP "), exposed);
    for series in metrics(&service).await.into_keys() {
        let (name, labels) = series.split_once('{').unwrap();
        let metric = METRICS.iter().find(|metric| {
            let rest = name.strip_prefix(metric.name);
            rest.is_some_and(|rest| rest.is_empty() || ["_bucket", "_sum", "_count"].contains(&rest))
        });
        let metric = metric.unwrap_or_else(|| panic!("{series} is not in the table of metrics"));
        let label_names = labels.trim_end_matches('}').split(',').filter_map(|label| label.split('=').next());
        let label_names: BTreeSet<&str> = label_names.filter(|label| !["", "le"].contains(label)).collect();
        assert_eq!(label_names, metric.labels.iter().copied().collect(), "{series}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_and_the_metrics_have_separate_listeners() {
    let service = Program::new().serve();
    service.sandbox_client().await.get("/metrics").await.assert_status(404);
    let metrics = service.metrics_url();
    assert_eq!(
        outbound::client().unwrap().get(&metrics).send().await.unwrap().headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for path in ["/healthz", "/v1/mfa/devices", "/"] {
        let answer = outbound::client().unwrap().get(metrics.replace("/metrics", path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_one_log_line_with_partner_client_and_status() {
    let (service, _seon) = service_with_seon().await;
    let client = service.sandbox_client().await;
    let id = bind_a_device(&client).await;
    let mut request =
        axum::http::Request::get(format!("/v1/mfa/devices/{id}")).body(axum::body::Body::empty()).unwrap();
    request.headers_mut().insert("x-request-id", "from-the-caller".parse().unwrap());
    client.request(request).await.assert_status(200);
    let refused = service.stranger().get("/v1/mfa/devices").await;
    refused.assert_status(401);

    // The answer may arrive before its log line.
    service.wait_for_log("token_required", PATIENCE);
    let logs = service.logs();
    let lines =
        logs.iter().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("JSON in {line}")));
    let lines: Vec<Value> = lines.filter(|line| line["fields"]["message"] == "answered").collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            let (span, fields) = (&line["span"], &line["fields"]);
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            assert!(fields["duration_us"].as_u64().is_some_and(|us| us > 0), "{line}");
            assert!(span["request.id"].as_str().is_some_and(|id| !id.is_empty()), "{line}");
            let whose = format!("{}/{}", text(&span["partner"]), text(&span["client"]));
            (
                text(&span["method"]),
                text(&span["route"]),
                fields["status"].as_u64().unwrap(),
                whose,
                text(&fields["code"]),
            )
        })
        .collect();
    let line = |method: &str, route: &str, status: u64, whose: &str, code: &str| {
        (method.to_owned(), route.to_owned(), status, whose.to_owned(), code.to_owned())
    };
    let (ours, without_token) = ("sandbox/sandbox", "-/-");
    assert_eq!(
        seen,
        [
            line("POST", "/oauth/token", 200, ours, "-"),
            line("POST", "/v1/persons/{person_id}/mobile_number", 201, ours, "-"),
            line("POST", "/v1/mfa/devices", 202, ours, "-"),
            line("PUT", "/v1/mfa/challenges/signatures/{id}", 403, ours, "invalid_tan"),
            line("PUT", "/v1/mfa/challenges/signatures/{id}", 204, ours, "-"),
            line("POST", "/v1/mfa/devices/{id}/keys", 201, ours, "-"),
            line("GET", "/v1/mfa/devices/{id}", 200, ours, "-"),
            line("GET", "/v1/mfa/devices", 401, without_token, "token_required"),
        ]
    );
    assert_eq!(lines[6]["span"]["request.id"], "from-the-caller");
    // The error id in the body equals the request id in the log.
    assert_eq!(lines[7]["span"]["request.id"], refused.json()["errors"][0]["id"]);
}
