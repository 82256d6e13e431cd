//! `DATABASE_URL`: which URLs are accepted, and that an ambiguous one is refused instead of misread.

use std::str::FromStr;

use device_management::store::{DatabaseSettings, DatabaseUrl, Transport, connect};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;

/// The URL as the driver parses it.
fn driven(url: &str) -> PgConnectOptions {
    let DatabaseUrl::Postgres(url, _) = DatabaseUrl::parse(url).unwrap() else { panic!("expected Postgres") };
    PgConnectOptions::from_str(url.expose_secret()).unwrap()
}

fn file(url: &str) -> String {
    let DatabaseUrl::Sqlite(file) = DatabaseUrl::parse(url).unwrap() else { panic!("expected SQLite") };
    file.to_str().unwrap().to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| encoded + format!("%{byte:02X}").as_str())
}

#[test]
fn an_ipv6_address_needs_brackets() {
    for (url, port) in [("postgres://app@[::1]/devices", 5432), ("postgres://app@[::1]:6000/devices", 6000)] {
        let options = driven(url);
        assert_eq!((options.get_host(), options.get_port(), options.get_database()), ("::1", port, Some("devices")));
    }
    for wrong in ["postgres://[::1", "postgres://app@[::1]x/d", "postgres://app@[localhost]/d", "postgres://app@::1/d"]
    {
        assert!(DatabaseUrl::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_unix_socket_is_named_by_its_folder() {
    for url in ["postgres://app@%2Frun%2Fpg/devices", "postgres://app@localhost/devices?host=/run/pg"] {
        let options = driven(url);
        assert_eq!(options.get_socket().map(|path| path.to_str().unwrap()), Some("/run/pg"));
        assert_eq!(DatabaseUrl::parse(url).unwrap().transport(), Transport::Local);
    }
}

#[test]
fn percent_encoded_parts_are_decoded() {
    let options = driven("postgres://a%40b:p%2Fw@db.example/dev%20ices?sslmode=verify-full");
    assert_eq!((options.get_username(), options.get_database()), ("a@b", Some("dev ices")));
    assert_eq!(options.get_host(), "db.example");
}

#[test]
fn the_error_for_an_unencoded_password_does_not_quote_it() {
    for raw in
        ["hun?ter2", "hun#ter2", "hun/ter2", "hun@ter2", "hun%ter2", "?hunter2", "hunter2@x?y", "hun/t?e#r2", "50%"]
    {
        let fault = DatabaseUrl::parse(&format!("postgres://app:{raw}@db.example/devices")).unwrap_err();
        assert!(fault.contains("percent-encode"), "{raw}: {fault}");
        assert!(!fault.contains("hun"), "{fault}");
    }
}

#[test]
fn unknown_parameters_are_refused() {
    for query in [
        "sslmod=verify-full",
        "sslmode=full",
        "sslmode=VERIFY-FULL",
        "sslmode",
        "sslmode=",
        "sslmode=disable&sslmode=verify-full",
        "options=-c%20statement_timeout=0",
        "application_name=x",
        "connect_timeout=3",
        "channel_binding=require",
        "target_session_attrs=read-write",
    ] {
        assert!(DatabaseUrl::parse(&format!("postgres://app@db.example/devices?{query}")).is_err(), "{query}");
    }
}

/// Parameters and forms of libpq that the driver does not have, and that would weaken the connection if ignored.
#[test]
fn the_refusal_of_a_libpq_feature_names_the_alternative() {
    for (rest, words) in [
        ("db.example/devices?sslmode=verify-full&channel_binding=require", "client certificate"),
        ("a:5432,b:5432/devices", "an address that leads to the primary"),
        ("a.example,b.example/devices?sslmode=verify-full", "an address that leads to the primary"),
        ("/devices?host=a,b&sslmode=verify-full", "an address that leads to the primary"),
        ("db.example/devices?target_session_attrs=read-write", "an address that leads to the primary"),
        ("db.example/devices?sslmode=verify-full&sslcert=c.pem", "sslcert and sslkey together"),
        ("db.example/devices?sslmode=verify-full&sslkey=c.pem", "sslcert and sslkey together"),
        ("%2Frun%2Fpg/devices?sslmode=verify-full", "Postgres has no TLS"),
        ("localhost/devices?host=/run/pg&sslmode=require", "Postgres has no TLS"),
    ] {
        let fault = DatabaseUrl::parse(&format!("postgres://app:a-secret@{rest}")).unwrap_err();
        assert!(fault.contains(words), "{rest}: {fault}");
    }
    for mode in ["disable", "allow", "prefer"] {
        DatabaseUrl::parse(&format!("postgres://app@%2Frun%2Fpg/devices?sslmode={mode}")).unwrap();
    }
}

#[test]
fn an_invalid_host_or_port_is_refused() {
    for address in
        ["", ":5432", "a,b", "a b", "db.example:0", "db.example:65536", "db.example:+1", "db.example:x", "a:1:2"]
    {
        assert!(DatabaseUrl::parse(&format!("postgres://app@{address}/devices")).is_err(), "{address:?}");
    }
    for url in ["postgres:///devices", "postgres://", "postgres:devices", "postgresql://app@/d", "POSTGRES://db/d", ""]
    {
        assert!(DatabaseUrl::parse(url).is_err(), "{url}");
    }
    assert_eq!(driven("postgresql://app:pw@db.example:5433/devices").get_port(), 5433);
}

#[test]
fn a_sqlite_file_is_named_in_three_ways() {
    for (url, name) in [
        ("sqlite://data.db", "data.db"),
        ("sqlite:data.db", "data.db"),
        ("sqlite:///var/lib/data.db", "/var/lib/data.db"),
        ("sqlite://folder/data.db?mode=rwc", "folder/data.db"),
        ("sqlite://my%20data%3F.db", "my data?.db"),
    ] {
        assert_eq!(file(url), name, "{url}");
    }
}

#[tokio::test]
async fn query_parameters_are_not_part_of_the_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.db");
    let url = DatabaseUrl::parse(&format!("sqlite://{}?mode=rwc", path.display())).unwrap();
    connect(&DatabaseSettings::new(url)).await.unwrap().close().await;
    assert!(path.is_file());
    for query in ["mode=ro", "mode=memory", "mode=rw", "cache=shared", "mode=rwc&cache=shared", "x", "immutable=1"] {
        assert!(DatabaseUrl::parse(&format!("sqlite://data.db?{query}")).unwrap_err().contains("mode=rwc"), "{query}");
    }
    for name in ["", ":memory:", "file:data.db", "a#b", "a%zz", "a%00b", "a b"] {
        assert!(DatabaseUrl::parse(&format!("sqlite://{name}")).is_err(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_causes_a_panic(text in "(postgres|sqlite)?:?/?/?.{0,60}") {
        let _ = DatabaseUrl::parse(&text);
    }

    #[test]
    fn any_percent_encoded_part_is_decoded(user in "[^\0]{1,20}", password in "[^\0]{1,20}", database in "[^\0/]{1,20}") {
        let url = format!("postgres://{}:{}@db.example/{}", encoded(&user), encoded(&password), encoded(&database));
        if [".", ".."].contains(&&*database) {
            prop_assert!(DatabaseUrl::parse(&url).is_err());
            return Ok(());
        }
        let options = driven(&url);
        prop_assert_eq!(options.get_username(), user);
        prop_assert_eq!(options.get_database(), Some(&*database));
        prop_assert_eq!(options.get_host(), "db.example");
    }

    #[test]
    fn a_raw_password_is_taken_whole_or_refused(password in "[ -~]{1,20}", salt in any::<u8>()) {
        let url = format!("postgres://app{salt}:{password}@db.example/devices");
        if let Ok(DatabaseUrl::Postgres(..)) = DatabaseUrl::parse(&url) {
            let options = driven(&url);
            prop_assert_eq!(options.get_host(), "db.example");
            prop_assert_eq!(options.get_database(), Some("devices"));
            prop_assert!(!password.contains(['@', '/', '?', '#']));
        }
    }
}
