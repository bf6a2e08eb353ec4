//! Lets the AWS SDK send its requests through the HTTP client that the rest of the program uses.
//!
//! The SDK's own client is a second HTTP stack, with HTTP/2. It takes root certificates only as text, and parses
//! them at every start. With one stack the Lambda functions are smaller and start faster; docs/measurements.md has
//! the figures.
//!
//! Requests and answers are held in memory as a whole. Every operation used here does so anyway.

use std::sync::{Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;

use crate::http::Network;

/// Where the SDK gets its connectors: one for each pair of time limits, made by the first call that
/// has them.
#[derive(Debug, Default)]
pub(super) struct Connectors(Mutex<Vec<Connector>>);

impl HttpClient for Connectors {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = made.iter().find(|made| made.serves(settings));
        let connector = found.cloned().unwrap_or_else(|| {
            let connector = Connector::new(settings.clone());
            made.push(connector.clone());
            connector
        });
        SharedHttpConnector::new(connector)
    }
}

/// Sends requests through connections of its own, within the limits of `settings`.
#[derive(Debug, Clone)]
struct Connector {
    client: Result<reqwest::Client, String>,
    settings: HttpConnectorSettings,
}

impl Connector {
    fn new(settings: HttpConnectorSettings) -> Self {
        let client = Network::for_process()
            .map_err(|error| error.to_string())
            .and_then(Network::client_builder)
            .and_then(|mut builder| {
                if let Some(limit) = settings.connect_timeout() {
                    builder = builder.connect_timeout(limit);
                }
                builder.build().map_err(|error| error.to_string())
            });
        Self { client, settings }
    }

    fn serves(&self, settings: &HttpConnectorSettings) -> bool {
        let limits = |of: &HttpConnectorSettings| (of.connect_timeout(), of.read_timeout());
        limits(&self.settings) == limits(settings)
    }

    async fn exchange(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let client = self
            .client
            .map_err(|error| ConnectorError::user(error.into()))?;
        let request = request_of(request).map_err(ConnectorError::user)?;
        let response = match self.settings.read_timeout() {
            Some(limit) => tokio::time::timeout(limit, client.execute(request))
                .await
                .map_err(|error| ConnectorError::timeout(error.into()))?,
            None => client.execute(request).await,
        };
        let mut response = response.map_err(lost)?;
        let mut answer = http::Response::new(SdkBody::empty());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        *answer.body_mut() = SdkBody::from(response.bytes().await.map_err(lost)?);
        answer
            .try_into()
            .map_err(|error: HttpError| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().exchange(request))
    }
}

fn request_of(request: HttpRequest) -> Result<reqwest::Request, BoxError> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body.bytes().ok_or("a body that is not in memory")?.to_vec();
    Ok(http::Request::from_parts(parts, body).try_into()?)
}

/// The error for a request or answer that did not get through. It leaves out the address, which is a setting.
fn lost(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        // The SDK tries again after these.
        ConnectorError::io(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(read: Duration) -> HttpConnectorSettings {
        HttpConnectorSettings::builder().read_timeout(read).build()
    }

    async fn call(address: std::net::SocketAddr, read: Duration) -> ConnectorError {
        let mut request = HttpRequest::empty();
        request.set_uri(format!("http://{address}/")).unwrap();
        Connector::new(settings(read))
            .call(request)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_lost_connection_and_a_silent_server_are_told_apart() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        // The kernel accepts the connection, and nobody answers.
        let error = call(address, Duration::from_millis(50)).await;
        assert!(error.is_timeout(), "{error:?}");
        drop(closed);
        let error = call(address, Duration::from_secs(60)).await;
        assert!(error.is_io(), "{error:?}");
        let error = call(([127, 0, 0, 1], 1).into(), Duration::from_secs(60)).await;
        assert!(error.is_io(), "{error:?}");
    }
}
