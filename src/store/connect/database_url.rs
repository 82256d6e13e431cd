//! Parses `DATABASE_URL`.
//!
//! Rejects every URL that a driver would silently accept, misread or write to its own log. Messages contain no part of
//! the URL, because a password that is not percent-encoded may be anywhere in it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// Whether a host is this machine: `localhost` or a loopback address. An IPv6 address may be in brackets.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A database.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// `postgres://user:password@host/database`, normalized so that the driver reads it as intended. Never printed,
    /// since it contains a password.
    Postgres(SecretString, Transport),
    /// `sqlite://path/to/file`.
    Sqlite(PathBuf),
}

/// How the connection to the database is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Local: a socket or loopback.
    Local,
    /// TLS that verifies the server's certificate and name.
    Verified,
    /// TLS that does not verify the server's name.
    Encrypted,
    /// Possibly unencrypted.
    Open,
}

type Fault = &'static str;
type Parsed<T> = Result<T, Fault>;

const ENCODE: Fault = "has a password, user or other part with a character that separates the parts of a URL: percent-encode \
                       it (% as %25, @ as %40, / as %2F, ? as %3F, # as %23, : as %3A)";
const PARAMETERS: Fault = "has unsupported parameters: host, port, user, password, dbname, sslmode, sslrootcert, \
                           sslcert and sslkey are supported, each once";
const HOST: Fault =
    "must name one host: a name, an address (IPv6 as [::1]), or a socket's folder (%2Fvar%2Frun%2Fpostgresql)";
const HOSTS: Fault = "must name one host, not a list, and no target_session_attrs: use an address that leads to the primary \
                      (a proxy, a virtual address, or a DNS name that follows it)";
const CHANNEL_BINDING: Fault = "must not ask for channel_binding: the driver does not support it. sslmode=verify-full, or a \
                                client certificate (sslcert and sslkey), protects the login";
const CERTIFICATE: Fault = "must have sslcert and sslkey together, or neither";
const TLS_ON_A_SOCKET: Fault = "must have no sslmode with a socket, other than disable, allow or prefer: Postgres has no TLS \
                                there";
const SQLITE: Fault = "must be sqlite://file or sqlite:///absolute/file, where only ?mode=rwc may follow; ? # and % in the \
                       file's name are written %3F %23 and %25";

/// Supported query parameters.
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
    "statement-cache-capacity", // sqlx adds it to the URLs that it generates
];

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// The problem, without the URL.
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

    /// How the connection is protected.
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
    // A password that is not percent-encoded ends the authority early, and leaves its rest and the `@` behind it.
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
    if address.contains(',') || parameter("host").is_some_and(|host| host.contains(',')) {
        return Err(HOSTS);
    }
    if parameter("sslcert").is_some() != parameter("sslkey").is_some() {
        return Err(CERTIFICATE);
    }

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

    let transport = match parameter("sslmode") {
        Some("require" | "verify-ca" | "verify-full") if is_socket => return Err(TLS_ON_A_SOCKET),
        _ if is_socket || is_local(named) => Transport::Local,
        Some("verify-full") => Transport::Verified,
        Some("require" | "verify-ca") => Transport::Encrypted,
        Some("disable" | "allow" | "prefer") | None => Transport::Open,
        Some(_) => return Err("must have an sslmode of disable, allow, prefer, require, verify-ca or verify-full"),
    };
    let url = for_the_driver(user, named, (port, database), &parameters);
    PgConnectOptions::from_str(&url).map_err(|_| "is not a valid postgres:// URL")?;
    Ok(DatabaseUrl::Postgres(url.into(), transport))
}

/// The driver mistakes a bracketed IPv6 address for a name, so every host is passed as a parameter.
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
        // Unlike in forms, a plus sign is literal.
        let (key, value) = (decoded(key)?, decoded(value)?);
        match &*key {
            "channel_binding" => return Err(CHANNEL_BINDING),
            "target_session_attrs" => return Err(HOSTS),
            _ => {}
        }
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

/// Percent-decodes a part. Each `%` must begin an encoded byte, and the result must be UTF-8 without NUL.
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
