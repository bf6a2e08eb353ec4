//! The set-up of connections that every HTTP client of this package shares.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The root certificates of the web that are compiled in: nothing is read from the file system.
pub(crate) fn web_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// A client that trusts `roots`, with ring, HTTP/1.1, and neither redirects nor repetitions nor a
/// proxy from the environment. Time limits are the caller's.
///
/// # Errors
/// When the TLS set-up is refused, which would be a defect of this program.
pub(crate) fn client_builder(
    roots: RootCertStore,
) -> Result<reqwest::ClientBuilder, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .tcp_nodelay(true))
}
