//! TLS to Postgres: the files that `DATABASE_URL` names, and the remedy for each failure of a handshake.
//!
//! The driver reads the files for each connection, so replaced certificates apply without a restart. Its errors name
//! neither the file nor the parameter, so the files are checked at start-up.

use std::fs;
use std::str::FromStr;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The length of the longest path of Linux (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// The problems with the files of `sslrootcert`, `sslcert` and `sslkey`, each with its remedy. None without TLS, for
/// which the driver reads no file. Blocks for a read of each.
pub(in crate::store) fn file_problems(url: &SecretString) -> Vec<String> {
    let url = url.expose_secret();
    let may_use_tls = |options: PgConnectOptions| {
        !matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow) && options.get_socket().is_none()
    };
    if !PgConnectOptions::from_str(url).is_ok_and(may_use_tls) {
        return Vec::new();
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).filter_map(|(name, value)| file_problem(&name, &value)).collect()
}

fn file_problem(parameter: &str, value: &str) -> Option<String> {
    let content = match parameter {
        "sslrootcert" => "the certificates of the authorities that sign the server's, as PEM",
        "sslcert" => "the client's certificate, followed by those of intermediate authorities, as PEM",
        "sslkey" => "the private key of sslcert as PEM, without a passphrase",
        _ => return None,
    };
    let fault = match fs::read(value) {
        Err(_) if may_be_content(parameter, value) => {
            return Some(format!("{parameter} must name a file with {content}"));
        }
        Err(error) => format!("cannot be read ({error})"),
        Ok(pem) if parameter == "sslkey" && PrivateKeyDer::from_pem_slice(&pem).is_err() => {
            "holds no such key".to_owned()
        }
        Ok(pem) if parameter != "sslkey" && !holds_certificates(&pem) => "holds no valid certificates".to_owned(),
        Ok(_) => return None,
    };
    Some(format!("{parameter} {value} {fault}: it must hold {content}"))
}

/// Whether an unreadable value may be the content of a file instead of its path, and so a secret that no message may
/// quote. A relative path and a key as Base64 without line breaks look alike.
fn may_be_content(parameter: &str, value: &str) -> bool {
    let is_absolute = value.starts_with('/');
    value.contains("-----BEGIN")
        || value.contains(char::is_control)
        || value.len() > PATH_MAX
        || (parameter == "sslkey" && !is_absolute)
}

fn holds_certificates(pem: &[u8]) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

/// The remedy for a failed TLS handshake, to follow "the database is unavailable". Empty for other errors.
pub(in crate::store) fn remedy(error: &sqlx::Error) -> &'static str {
    let cause = match error {
        sqlx::Error::Tls(cause) => Some(&**cause as &(dyn std::error::Error + 'static)),
        sqlx::Error::Io(error) => error.get_ref().map(|cause| cause as _),
        _ => None,
    };
    let Some(cause) = cause else { return "" };
    if let Some(error) = cause.downcast_ref() {
        remedy_of(error)
    } else if cause.is::<InvalidDnsNameError>() {
        ": the host of DATABASE_URL must be a DNS name or an address"
    } else if cause.is::<pem::Error>() {
        ": sslcert must hold certificates as PEM"
    } else if cause.to_string() == NO_TLS {
        ": turn on TLS on the server (`ssl = on`), or in the pooler"
    } else {
        ""
    }
}

/// The driver's text for a server that refuses TLS, which has no type.
const NO_TLS: &str = "server does not support TLS";

fn remedy_of(error: &TlsError) -> &'static str {
    match error {
        // The signature is bad where another authority has the same name.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            ": sslrootcert must name the certificate of the authority that signed the server's"
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            ": the host of DATABASE_URL must be among the subject alternative names of the server's certificate (its \
             common name does not count)"
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            ": renew the server's certificate, which has expired"
        }
        TlsError::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            ": check the clocks, because the server's certificate is not valid yet"
        }
        TlsError::InvalidCertificate(_) => {
            ": the server needs a certificate that an authority signed, or a self-signed one where sslrootcert names \
             the certificate itself, which must not be that of an authority (basicConstraints CA:FALSE)"
        }
        TlsError::InconsistentKeys(_) => ": sslkey must be the private key of the certificate in sslcert",
        TlsError::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError,
        ) => {
            ": the server refuses the client's certificate: sslcert must be valid, and signed by an authority of the \
             server's `ssl_ca_file`"
        }
        _ => "",
    }
}
