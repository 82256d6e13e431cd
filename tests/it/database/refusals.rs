//! What each code of Postgres means for a caller: 503 for what passes or the operator mends, 500 for what the service got
//! wrong.

use std::fs;

use serde_json::json;

use crate::harness::{Engine, TestApp, postgres_programs, sql};

/// Classes and codes for which the same request may succeed later. All others are faults of the service.
const UNAVAILABLE: [&str; 19] = [
    "08", "26", "28", "34", "3D", "40", "53", "57", "58", "72", "F0", "XX", "25006", "25P03", "25P04", "42P05",
    "55000", "55006", "55P03",
];

/// Every code that the installed Postgres knows.
fn every_code() -> Vec<String> {
    let bin = postgres_programs().expect("the test runs where Postgres is");
    let version = bin.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_owned();
    let places = [bin.join("../share/errcodes.txt"), bin.join("../share/postgresql/errcodes.txt")];
    let debian = std::path::Path::new("/usr/share/postgresql").join(version).join("errcodes.txt");
    let text =
        places.iter().chain([&debian]).find_map(|place| fs::read_to_string(place).ok()).expect("its list of codes");
    let codes = text.lines().filter_map(|line| line.split_whitespace().next());
    codes.filter(|code| code.len() == 5 && !code.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_of_postgres_has_its_answer() {
    if !Engine::Postgres.is_there_for("database::refusals::every_code_of_postgres_has_its_answer").await
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
    // Success is no refusal, and Postgres takes no other code of its class.
    for code in codes.iter().filter(|code| !code.starts_with("00")) {
        sql::execute(url, &format!("update refusal set code = '{code}'")).await;
        let answer = acme.post("/v1/persons/bob/mobile_number", json!({"number": "+4915112345678"})).await;
        let is_unavailable = UNAVAILABLE.iter().any(|known| code.starts_with(known));
        assert_eq!(answer.status.as_u16(), if is_unavailable { 503 } else { 500 }, "{code}");
        assert_eq!(answer.headers.contains_key("retry-after"), is_unavailable, "{code}");
        // A connection that was refused something, or was closed for it, leaves the next request alone.
        acme.get("/v1/persons/ada/mobile_number").await.assert_status(200);
    }
    sql::execute(url, "drop trigger refuse on mobile_number").await;
    acme.post("/v1/persons/bob/mobile_number", json!({"number": "+4915112345678"})).await.assert_status(201);
}
