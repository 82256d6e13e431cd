//! The status for each Postgres error code: 503 for transient failures and those that the operator repairs, 500 for
//! bugs of the service.

use std::fs;

use serde_json::json;

use crate::harness::{Engine, TestApp, postgres_programs, sql};

/// Classes and codes for which a retry may succeed. All others are bugs of the service.
const UNAVAILABLE: [&str; 19] = [
    "08", "26", "28", "34", "3D", "40", "53", "57", "58", "72", "F0", "XX", "25006", "25P03", "25P04", "42P05",
    "55000", "55006", "55P03",
];

/// Every code of the installed Postgres.
fn every_code() -> Vec<String> {
    let bin = postgres_programs().expect("Postgres is installed");
    let version = bin.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_owned();
    let places = [bin.join("../share/errcodes.txt"), bin.join("../share/postgresql/errcodes.txt")];
    let debian = std::path::Path::new("/usr/share/postgresql").join(version).join("errcodes.txt");
    let text = places
        .iter()
        .chain([&debian])
        .find_map(|place| fs::read_to_string(place).ok())
        .expect("Postgres has its list of error codes");
    let codes = text.lines().filter_map(|line| line.split_whitespace().next());
    codes.filter(|code| code.len() == 5 && !code.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_postgres_error_code_has_its_status() {
    if !Engine::Postgres.is_there_for("database::refusals::every_postgres_error_code_has_its_status").await
        || postgres_programs().is_none()
    {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let (url, acme) = (app.database.url(), app.partner());
    acme.verified_person("ada").await;
    sql::execute(
        url,
        "create table refusal (code text);
         insert into refusal values ('00000');
         create function refuse() returns trigger language plpgsql as $$ begin
             raise exception 'provoked' using errcode = (select code from refusal);
         end $$;
         create trigger refuse before insert on mobile_number for each row execute function refuse()",
    )
    .await;
    let codes = every_code();
    assert!(codes.len() > 200, "{} codes", codes.len());
    // Class 00 is success; Postgres raises no error with it.
    for code in codes.iter().filter(|code| !code.starts_with("00")) {
        sql::execute(url, &format!("update refusal set code = '{code}'")).await;
        let answer = acme.post("/v1/persons/bob/mobile_number", json!({"number": "+4915112345678"})).await;
        let is_unavailable = UNAVAILABLE.iter().any(|known| code.starts_with(known));
        assert_eq!(answer.status.as_u16(), if is_unavailable { 503 } else { 500 }, "{code}");
        assert_eq!(answer.headers.contains_key("retry-after"), is_unavailable, "{code}");
        // An error, or the connection closed for it, does not affect the next request.
        acme.get("/v1/persons/ada/mobile_number").await.assert_status(200);
    }
    sql::execute(url, "drop trigger refuse on mobile_number").await;
    acme.post("/v1/persons/bob/mobile_number", json!({"number": "+4915112345678"})).await.assert_status(201);
}
