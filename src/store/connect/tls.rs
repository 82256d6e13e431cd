//! TLS to Postgres: the files that `DATABASE_URL` names, and the remedy for each failure of a handshake.
//!
//! The driver reads the files for each connection, so replaced certificates apply without a restart. Its errors name
//! neither the file nor the parameter, so the files are checked at start-up.

use std::borrow::Cow;
use std::fs;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use secrecy::{ExposeSecret, SecretString};

/// The problems with the files of `sslrootcert`, `sslcert` and `sslkey`, each with its remedy. Blocks for a read of each.
pub(in crate::store) fn file_problems(url: &SecretString) -> Vec<String> {
    let query = url.expose_secret().split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).filter_map(|(name, value)| file_problem(&name, value)).collect()
}

fn file_problem(parameter: &str, value: Cow<'_, str>) -> Option<String> {
    let remedy = match parameter {
        "sslrootcert" => "the certificates of the authorities that sign the server's, as PEM",
        "sslcert" => "the client's certificate, followed by those of intermediate authorities, as PEM",
        "sslkey" => "the private key of sslcert as PEM, without a passphrase",
        _ => return None,
    };
    // The driver takes a value with the content of a file, too.
    let is_content = value.trim_start().starts_with("-----BEGIN");
    let (place, pem) = if is_content {
        (String::new(), Ok(value.into_owned().into_bytes()))
    } else {
        (format!(" {value}"), fs::read(&*value))
    };
    let fault = match pem {
        Err(error) => format!("cannot be read ({error})"),
        Ok(pem) if parameter == "sslkey" && PrivateKeyDer::from_pem_slice(&pem).is_err() => {
            "holds no such key".to_owned()
        }
        Ok(pem) if parameter != "sslkey" && !holds_certificates(&pem) => "holds no valid certificates".to_owned(),
        Ok(_) => return None,
    };
    Some(format!("{parameter}{place} {fault}: it must hold {remedy}"))
}

fn holds_certificates(pem: &[u8]) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

/// What an operator does about a failed TLS handshake, to follow "the database is unavailable". Empty for other errors.
pub(in crate::store) fn remedy(error: &sqlx::Error) -> &'static str {
    let cause = match error {
        sqlx::Error::Tls(cause) => Some(&**cause as &(dyn std::error::Error + 'static)),
        sqlx::Error::Io(error) => error.get_ref().map(|cause| cause as _),
        _ => None,
    };
    match cause.and_then(|cause| cause.downcast_ref::<TlsError>()) {
        Some(error) => remedy_of(error),
        None if matches!(error, sqlx::Error::Tls(_)) => ": turn on TLS on the server (`ssl = on`), or in the pooler",
        None => "",
    }
}

fn remedy_of(error: &TlsError) -> &'static str {
    match error {
        // The signature is bad where another authority has the same name.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            ": sslrootcert must name the certificate of the authority that signed the server's"
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            ": the host of DATABASE_URL must be among the subject alternative names of the server's certificate (its common \
             name does not count)"
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            ": renew the server's certificate, which has expired"
        }
        TlsError::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            ": check the clocks, because the server's certificate is not valid yet"
        }
        TlsError::InvalidCertificate(_) => {
            ": the server needs a certificate for itself that an authority signed; that of an authority or a self-signed one \
             is not accepted"
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
            ": the server refuses the client's certificate: sslcert must be valid, and signed by an authority of the server's \
             `ssl_ca_file`"
        }
        _ => "",
    }
}
