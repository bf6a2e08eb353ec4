//! What every AWS client shares: one HTTPS client, time limits that fit a deadline, and what an
//! SDK error means.
//!
//! Endpoints, region and credentials follow the SDK's own variables (`AWS_ENDPOINT_URL_DYNAMODB`,
//! `AWS_REGION`, `AWS_ACCESS_KEY_ID` …). With the variables that Lambda sets, loading reads no file
//! and calls no metadata service.

mod failure;
#[cfg(feature = "local")]
pub mod inspect;
pub(crate) mod table;

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use base64::Engine as _;

pub(crate) use failure::{Target, explain};

/// How long one AWS call may take, retries included, and how that time is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// One attempt.
    pub attempt: Duration,
    /// All attempts of one call.
    pub operation: Duration,
    /// The most attempts of one call.
    pub attempts: u32,
}

impl Limits {
    /// Limits for a call that has to be over within `deadline`.
    ///
    /// An attempt gets half of it, so that one lost answer leaves time for another attempt.
    pub fn within(deadline: Duration) -> Self {
        Self {
            connect: (deadline / 3).min(Duration::from_secs(3)),
            attempt: (deadline / 2).min(Duration::from_secs(5)),
            operation: deadline,
            attempts: if deadline < Duration::from_secs(5) {
                3
            } else {
                5
            },
        }
    }
}

/// Loads what all AWS clients of this process share. Call it once.
pub async fn load(limits: Limits) -> SdkConfig {
    loader(limits).load().await
}

/// The same before it looks at the environment, for whoever wants to set something first.
pub fn loader(limits: Limits) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .read_timeout(limits.attempt)
        .operation_attempt_timeout(limits.attempt)
        .operation_timeout(limits.operation)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(limits.attempts)
        // The SDK's first pause is up to a second; DynamoDB and SQS heal faster than that.
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff((limits.operation / 4).min(Duration::from_secs(5)));
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(OnFirstUse::default())
        .timeout_config(timeouts)
        .retry_config(retries)
}

/// The HTTPS client, made when the first call needs it.
///
/// The SDK makes a connector for every service client only to check that it can, and each parses all
/// certificates again; this type leaves that check out.
#[derive(Debug, Default)]
struct OnFirstUse(OnceLock<SharedHttpClient>);

impl HttpClient for OnFirstUse {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0
            .get_or_init(https_client)
            .http_connector(settings, components)
    }
}

/// rustls with ring and the root certificates that are compiled in; a Lambda sandbox starts faster
/// when it does not scan the file system for them. Plain `http` endpoints work too.
fn https_client() -> SharedHttpClient {
    let mut trusted = TrustStore::empty();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        trusted.add_pem_certificate(pem(certificate));
    }
    let builder =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::rustls(CryptoMode::Ring));
    match TlsContext::builder().with_trust_store(trusted).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        // Building never fails today; the platform's own certificates are as good.
        Err(_) => builder.build_https(),
    }
}

/// The only form in which the client takes certificates.
fn pem(der: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_fits_into_the_deadline() {
        for ms in [500, 2_000, 5_000, 60_000] {
            let deadline = Duration::from_millis(ms);
            let limits = Limits::within(deadline);
            assert!(limits.connect < limits.attempt, "{limits:?}");
            assert!(limits.attempt * 2 <= deadline, "{limits:?}");
            assert_eq!(limits.operation, deadline);
        }
    }

    /// The client panics at its first call when it cannot read a certificate.
    #[test]
    fn every_root_is_a_certificate_the_client_can_read() {
        let mut roots = rustls::RootCertStore::empty();
        let ders = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
        let (read, unread) = roots.add_parsable_certificates(ders);
        assert!(read > 50);
        assert_eq!(unread, 0);
    }
}
