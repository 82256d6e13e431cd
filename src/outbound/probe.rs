//! Whether a server can be reached: DNS, TCP and the TLS handshake, with the same trusted authorities as [`super::client`].
//! Sends no request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::HttpUrl;

/// The step at which a server was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Its name has no address.
    #[error("DNS has no address for {0}: {1}")]
    Dns(String, io::Error),
    /// No address accepts connections.
    #[error("the TCP connection failed: {0}")]
    Tcp(io::Error),
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// A step was not complete within the timeout.
    #[error("{0} was not complete within {1} s")]
    Timeout(&'static str, u64),
}

/// Connects to the server of this URL, and closes the connection.
///
/// # Errors
/// The step that failed, without the path and query of the URL.
pub async fn probe(url: &HttpUrl, limit: Duration) -> Result<(), Unreached> {
    let end = Instant::now() + limit;
    let late = |step| Unreached::Timeout(step, limit.as_secs());
    let host = url.as_url().host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.as_url().port_or_known_default().unwrap_or(443);
    let addresses = timeout_at(end, lookup_host((host.as_str(), port))).await.map_err(|_| late("DNS"))?;
    let addresses: Vec<_> = addresses.map_err(|error| Unreached::Dns(host.clone(), error))?.collect();
    let stream = timeout_at(end, TcpStream::connect(&*addresses)).await.map_err(|_| late("the TCP connection"))?;
    let stream = stream.map_err(Unreached::Tcp)?;
    if !url.is_encrypted() {
        return Ok(());
    }
    let connector = connector().map_err(|error| Unreached::Tls(io::Error::other(error)))?;
    let name = ServerName::try_from(host).map_err(|error| Unreached::Tls(io::Error::other(error)))?;
    let handshake = timeout_at(end, connector.connect(name, stream)).await.map_err(|_| late("the TLS handshake"))?;
    handshake.map(drop).map_err(Unreached::Tls)
}

fn connector() -> Result<TlsConnector, rustls::Error> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(builder.with_platform_verifier()?.with_no_client_auth())))
}
