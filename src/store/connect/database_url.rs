//! The URL that says which database.
//!
//! It is read here, and what the drivers would take in silence, misread or repeat in their own log is refused before they
//! see it. Nothing of a URL stands in a message: a password that is not percent-encoded may be anywhere in it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// Which database.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// `postgres://user:password@host/database`, in a form that the driver reads as it is meant. Never shown, since it
    /// holds a password.
    Postgres(SecretString, Transport),
    /// `sqlite://path/to/file`.
    Sqlite(PathBuf),
}

/// How what is sent to the database is protected on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// It does not leave the machine.
    Local,
    /// It is encrypted for the server that the URL names.
    Verified,
    /// It is encrypted, but the server that answers is not identified.
    Encrypted,
    /// It may be in the clear.
    Open,
}

type Fault = &'static str;
type Parsed<T> = Result<T, Fault>;

const ENCODE: Fault = "has a password, user or other part with a character that separates the parts of a URL: percent-encode \
                       it (% as %25, @ as %40, / as %2F, ? as %3F, # as %23, : as %3A)";
const PARAMETERS: Fault = "has parameters that are not known here: host, port, user, password, dbname, sslmode, sslrootcert, \
                           sslcert and sslkey are, each once";
const HOST: Fault =
    "must name one host: a name, an address (IPv6 as [::1]), or a socket's folder (%2Fvar%2Frun%2Fpostgresql)";
const SQLITE: Fault = "must be sqlite://file or sqlite:///absolute/file, where only ?mode=rwc may follow; ? # and % in the \
                       file's name are written %3F %23 and %25";

/// What may follow `?`.
const KNOWN: [&str; 10] = [
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "statement-cache-capacity", // sqlx writes it into the URLs that it makes
];

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without the URL itself.
    pub fn parse(url: &str) -> Parsed<Self> {
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("must not contain white space: percent-encode it");
        }
        if let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
            return postgres(rest);
        }
        match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            Some(rest) => sqlite(rest).map(Self::Sqlite),
            None => Err("must begin with postgres:// or sqlite://"),
        }
    }

    /// How what is sent there is protected.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Postgres(_, transport) => *transport,
            Self::Sqlite(_) => Transport::Local,
        }
    }
}

fn postgres(rest: &str) -> Parsed<DatabaseUrl> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // A password that is not encoded cuts the authority short, and its rest and the `@` are found behind it.
    if rest.contains(['@', '#']) || authority.matches('@').count() > 1 {
        return Err(ENCODE);
    }
    let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let database = path.strip_prefix('/').unwrap_or(path);
    if database.contains('/') || query.contains('?') {
        return Err(ENCODE);
    }
    for part in [user, address, database] {
        decoded(part)?;
    }
    if [".", ".."].contains(&&*decoded(database)?) {
        return Err("must not name a database . or .., which lead to another path in a URL");
    }
    let parameters = parameters(query)?;
    let parameter = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());

    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']').ok_or(HOST)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| HOST)?;
        (host.to_owned(), port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or(HOST)?)
    } else {
        let (host, port) = address.split_once(':').unwrap_or((address, ""));
        (decoded(host)?, port)
    };
    for port in [Some(port).filter(|port| !port.is_empty()), parameter("port")].into_iter().flatten() {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || port.parse::<u16>().unwrap_or(0) == 0 {
            return Err("must have a port from 1 to 65535 behind the colon, or none; a : in a password is written %3A");
        }
    }
    let named = parameter("host").unwrap_or(&host);
    let is_socket = named.starts_with('/');
    let is_name = !named.is_empty() && named.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    if !is_socket && !(is_name && (!named.contains(':') || named.parse::<IpAddr>().is_ok())) {
        return Err(HOST);
    }

    let is_loopback = named == "localhost" || named.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let transport = match parameter("sslmode") {
        _ if is_socket || is_loopback => Transport::Local,
        Some("verify-full") => Transport::Verified,
        Some("require" | "verify-ca") => Transport::Encrypted,
        Some("disable" | "allow" | "prefer") | None => Transport::Open,
        Some(_) => return Err("must have an sslmode of disable, allow, prefer, require, verify-ca or verify-full"),
    };
    let url = for_the_driver(user, named, (port, database), &parameters);
    PgConnectOptions::from_str(&url).map_err(|_| "is not a valid postgres:// URL")?;
    Ok(DatabaseUrl::Postgres(url.into(), transport))
}

/// The driver takes an IPv6 address in brackets for a name, so it gets every host as a parameter.
fn for_the_driver(user: &str, host: &str, (port, database): (&str, &str), parameters: &[(String, String)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("host", host);
    query.extend_pairs(parameters.iter().filter(|(key, _)| key != "host"));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let port = if port.is_empty() { String::new() } else { format!(":{port}") };
    format!("postgres://{user}host{port}/{database}?{}", query.finish())
}

fn parameters(query: &str) -> Parsed<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(PARAMETERS)?;
        // Not as in forms: a plus sign is itself.
        let (key, value) = (decoded(key)?, decoded(value)?);
        if !KNOWN.contains(&&*key) || value.is_empty() || found.iter().any(|(known, _)| *known == key) {
            return Err(PARAMETERS);
        }
        found.push((key, value));
    }
    Ok(found)
}

fn sqlite(rest: &str) -> Parsed<PathBuf> {
    let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
    if file.contains('#') || !["", "mode=rwc"].contains(&query) {
        return Err(SQLITE);
    }
    let file = decoded(file).map_err(|_| SQLITE)?;
    if ["", ":memory:"].contains(&&*file) || file.starts_with("file:") {
        return Err("must name a file: sqlite://device-management.db");
    }
    Ok(file.into())
}

/// Percent-decoded text. Each `%` must begin a byte, and the bytes must be text without NUL.
fn decoded(part: &str) -> Parsed<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or(ENCODE)?;
        bytes.push(hex::decode(digits).map_err(|_| ENCODE)?[0]);
        rest = &rest[2..];
    }
    let text = String::from_utf8(bytes).map_err(|_| "has percent-encoded bytes that are not UTF-8 text")?;
    if text.contains('\0') { Err("must not contain %00") } else { Ok(text) }
}
