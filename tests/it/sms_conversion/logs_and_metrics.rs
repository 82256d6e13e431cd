//! Log lines and metrics of a stop: one line when sending stops, one when it resumes. Neither contains a phone number.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::{FORGOTTEN, GERMAN, RULE, ask_for_code, pump, router, settle, trip};
use crate::harness::log::Log;
use crate::harness::{Engine, TestApp};

#[tokio::test]
async fn the_log_has_one_line_when_sending_stops_and_one_when_it_resumes() {
    let app = TestApp::with(Engine::Sqlite, &RULE).await;
    let log = Log::text();
    trip(&app, &app.partner(), GERMAN).await;
    settle(&app.app).await;
    app.advance(FORGOTTEN);
    settle(&app.app).await;
    let contents = log.contents();
    let lines: Vec<&str> = contents.lines().filter(|line| line.contains("service::sms::conversion")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, level, event) in [(lines[0], "WARN", "SMS sending stopped"), (lines[1], "INFO", "SMS sending resumed")] {
        assert!(line.contains(level) && line.contains(event), "{line}");
        assert!(line.ends_with("partner=acme country=DE"), "{line}");
    }
    assert!(!contents.contains("15112345678"), "{contents}");
}

#[tokio::test]
async fn metrics_count_stopped_partners_by_country_and_refusals_by_reason() {
    // Records the metrics of this thread only; the runtime is single-threaded.
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let series = |name: &str| -> Vec<String> {
        let text = recorder.handle().render();
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    };
    let app = TestApp::with(Engine::Sqlite, &RULE).await;
    let (acme, globex) = (app.partner(), app.other_partner());
    pump(&globex, GERMAN, 10).await;
    trip(&app, &acme, GERMAN).await;
    assert_eq!(series("sms_conversion_open"), [r#"sms_conversion_open{country="DE"} 2"#]);
    assert_eq!(series("sms_refused_total"), [r#"sms_refused_total{reason="conversion",limits="enforce"} 1"#]);

    let dry = app.another(&[&RULE[1..], &[("SMS_LIMITS", "dry-run")]].concat()).await;
    settle(&dry).await;
    let acme_there = acme.through(router(&dry));
    ask_for_code(&acme_there, "ada", GERMAN).await.assert_status(201);
    let mut refusals = series("sms_refused_total");
    refusals.sort();
    let [dry_run, enforced] =
        ["dry-run", "enforce"].map(|limits| format!(r#"sms_refused_total{{reason="conversion",limits="{limits}"}} 1"#));
    assert_eq!(refusals, [dry_run, enforced]);

    app.advance(FORGOTTEN);
    settle(&app.app).await;
    assert_eq!(series("sms_conversion_open"), [r#"sms_conversion_open{country="DE"} 0"#]);
}
