//! The set-up of TLS that every HTTP client of this package shares.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The root certificates of the web that are compiled in.
pub(crate) fn web_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// A client that trusts `roots`, with ring, HTTP/1.1, and neither redirects nor repetitions nor a
/// proxy. Time limits are the caller's.
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

/// Whether a connection was given up because the server's certificate is not to be trusted.
pub(crate) fn is_about_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An I/O error hides what it is made of from `source`.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => is_about_certificate(wrapped),
        None => error.source().is_some_and(is_about_certificate),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::Method;
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::clock::SystemClock;
    use crate::deadline::Deadline;
    use crate::failure::{Class, Side};
    use crate::http::{Call, CallErrorKind, HttpClient};

    const KEY: &[u8] = include_bytes!("../../tests/it/data/test-only-p256.pkcs8.pem");
    const LOCALHOST: &[u8] = include_bytes!("../../tests/it/data/test-only-localhost.cert.pem");
    const EXPIRED: &[u8] = include_bytes!("../../tests/it/data/test-only-expired.cert.pem");
    const OTHER: &[u8] = include_bytes!("../../tests/it/data/test-only-other.cert.pem");

    /// A server that counts the requests it gets to see, and the roots that trust its certificate.
    struct Server {
        url: String,
        heard: Arc<AtomicUsize>,
        roots: RootCertStore,
    }

    async fn server(certificate: &[u8]) -> Server {
        let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let heard = Arc::new(AtomicUsize::new(0));
        let count = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 4096];
                if stream
                    .read(&mut request)
                    .await
                    .is_ok_and(|length| length > 0)
                {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                    stream.write_all(answer).await.unwrap();
                    let _ = stream.shutdown().await;
                }
            }
        });
        Server { url, heard, roots }
    }

    async fn get(roots: RootCertStore, url: &str) -> Result<reqwest::Response, reqwest::Error> {
        let client = client_builder(roots).unwrap().build().unwrap();
        client.get(url).bearer_auth("secret").send().await
    }

    #[tokio::test]
    async fn a_server_needs_a_trusted_and_valid_certificate_for_its_host() {
        let good = server(LOCALHOST).await;
        let answer = get(good.roots.clone(), &good.url).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), good.heard.load(Ordering::SeqCst)),
            (200, 1)
        );

        let (expired, other, unknown) = (
            server(EXPIRED).await,
            server(OTHER).await,
            server(LOCALHOST).await,
        );
        for (server, roots) in [
            (&expired, expired.roots.clone()),
            (&other, other.roots.clone()),
            (&unknown, web_roots()),
        ] {
            let error = get(roots, &server.url).await.unwrap_err();
            assert!(is_about_certificate(&error), "{error:?}");
            assert_eq!(server.heard.load(Ordering::SeqCst), 0);
        }
        let nobody = get(web_roots(), "https://localhost:1/").await.unwrap_err();
        assert!(!is_about_certificate(&nobody), "{nobody:?}");
    }

    #[tokio::test]
    async fn a_call_to_an_unknown_server_says_what_is_wrong_and_sends_nothing() {
        let server = server(LOCALHOST).await;
        let client = HttpClient::new(Arc::new(SystemClock)).unwrap();
        let url = server.url.parse().unwrap();
        let call = Call::new(Side::Anypoint, "read the account", Method::GET, url);
        let deadline = Deadline::within(Duration::from_secs(5));
        let error = client.send(&call, deadline).await.unwrap_err();
        assert_eq!(
            (&error.kind, error.class()),
            (&CallErrorKind::Certificate, Class::Retryable)
        );
        assert_eq!(server.heard.load(Ordering::SeqCst), 0);
    }
}
