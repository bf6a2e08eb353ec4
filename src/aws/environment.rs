//! The AWS configuration of a Lambda function, from its variables alone.
//!
//! Lambda gives a function its region and credentials as variables (AWS Lambda, "Defined runtime
//! environment variables"). The SDK's own loader also brings the code for profiles, web identities, container and
//! metadata services. None of them applies there; docs/measurements.md says how much code it is.

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::{SharedCredentialsProvider, SharedHttpClient};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::connector::Connectors;
use super::{Limits, behavior, no_second_limit, retries, timeouts};

/// A configuration made of the SDK's variables for region, credentials and endpoints.
pub(super) fn configuration(limits: Limits) -> SdkConfig {
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut builder = SdkConfig::builder()
        .behavior_version(behavior())
        .region(region.map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .identity_cache(IdentityCache::lazy().build())
        .http_client(SharedHttpClient::new(Connectors::default()))
        .service_config(Endpoints)
        .timeout_config(timeouts(limits))
        .retry_config(retries(limits))
        .stalled_stream_protection(no_second_limit());
    builder.set_use_fips(switch("AWS_USE_FIPS_ENDPOINT"));
    builder.set_use_dual_stack(switch("AWS_USE_DUALSTACK_ENDPOINT"));
    builder.build()
}

/// Finds `AWS_ENDPOINT_URL_SQS` and the like, else `AWS_ENDPOINT_URL`
/// (AWS SDKs and Tools, "Service-specific endpoints").
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let ignored = switch("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == Some(true);
        if ignored && key.env() == "AWS_ENDPOINT_URL" {
            return None;
        }
        let service = key.service_id().replace(' ', "_").to_uppercase();
        variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn switch(name: &str) -> Option<bool> {
    variable(name).map(|value| value.eq_ignore_ascii_case("true"))
}
