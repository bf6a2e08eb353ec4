//! How single values are written.

use std::net::IpAddr;

use http::HeaderName;
use secrecy::SecretString;
use url::{Host, Url};

use super::reader::Reader;
use super::{DeactivationLimit, ImportMode};
use crate::secrets::{self, HOOK_SECRET};

pub(super) const APP_ID: &str = "the id of the Okta app instance (`0oa…`)";
pub(super) const ORG_URL: &str =
    "the org's address, `https://acme.okta.com` (`http://` only on a loopback host)";
pub(super) const CONTROL_PLANE: &str =
    "the control plane's address, `https://…` (`http://` only on a loopback host)";
pub(super) const DAYS: &str = "a number of days from 1 to 3650";
pub(super) const LIMIT: &str = "a count (`50`) or a share of the linked users (`20%`)";
pub(super) const AUTH_HEADER: &str = "the name of a header that HTTP and gateways have no use for, such as `authorization` or `x-okta-secret`";

pub(super) const QUEUE_URL: &str = "the address of an SQS FIFO queue, `https://sqs.…/NAME.fifo`";

/// An address as SQS gives it: SQS's own, or that of a server in its place. The name of a FIFO queue ends in `.fifo`, and
/// no other queue's does.
pub(super) fn queue_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_in_one_piece = !text.contains(char::is_whitespace);
    let is_fifo = url.path().ends_with(".fifo");
    (is_web && is_in_one_piece && is_fifo).then(|| text.to_owned())
}

/// Whether an address is on this machine; `*.localhost` is by RFC 6761, 6.3.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

pub(super) fn hook_secret(reader: &mut Reader<'_>, name: &str) -> Option<SecretString> {
    let text = reader.text(name, HOOK_SECRET)?;
    match secrets::hook_secret(&text) {
        Ok(secret) => Some(secret),
        Err(fault) => {
            reader.report(name, fault, HOOK_SECRET);
            None
        }
    }
}

/// A header that reaches us as it was sent: not one that HTTP gives a meaning, or that browsers, proxies, gateways and
/// content delivery networks set, change or take away.
pub(super) fn auth_header(text: &str) -> Option<HeaderName> {
    // RFC 9110 to 9114 and their extensions, without `authorization`.
    const OF_HTTP: &str = "accept age allow alt-svc alt-used cache-control cdn-loop connection cookie cookie2 date early-data etag \
        expect expires forwarded from host http2-settings keep-alive last-modified link location max-forwards \
        origin pragma prefer priority range referer retry-after server set-cookie strict-transport-security te \
        trailer transfer-encoding upgrade user-agent vary via warning www-authenticate";
    // Of browsers, proxies, content delivery networks and traces, and of Okta's verification.
    const OF_OTHERS: &str = "dnt purpose save-data upgrade-insecure-requests x-requested-with client-ip fastly-client-ip \
        front-end-https true-client-ip x-client-ip x-cluster-client-ip x-correlation-id x-real-ip x-request-id \
        x-rewrite-url x-scheme b3 baggage traceparent tracestate x-cloud-trace-context \
        x-okta-verification-challenge";
    const PREFIXES: &str = "accept- access-control- content- if- proxy- sec- cf- cloudfront- x-akamai- x-amz x-azure- x-b3- x-envoy- \
        x-forwarded- x-http-method x-original-";
    let header: HeaderName = text.parse().ok()?;
    let name = header.as_str();
    let mut taken = OF_HTTP.split(' ').chain(OF_OTHERS.split(' '));
    let is_taken = taken.any(|taken| taken == name)
        || PREFIXES.split(' ').any(|prefix| name.starts_with(prefix));
    (!is_taken).then_some(header)
}

/// An address without path, query or credentials. Plain HTTP could show tokens to the network, so it
/// is taken on loopback hosts only.
pub(super) fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    (bare && safe).then_some(url)
}

/// The org's own address, when `text` leads to its admin console (`acme-admin.okta.com`), whose lists end early and
/// whose tokens are others. Copied from a browser, it has a path, or no scheme.
pub(super) fn org_of_console(text: &str) -> Option<String> {
    let with_host = |text: &str| Url::parse(text).ok().filter(Url::has_host);
    let url = with_host(text).or_else(|| with_host(&format!("https://{text}")))?;
    let (org, domain) = url.host_str()?.split_once('.')?;
    let org = org.strip_suffix("-admin").filter(|org| !org.is_empty())?;
    let is_oktas = domain.split('.').any(|label| label.starts_with("okta"));
    is_oktas.then(|| format!("https://{org}.{domain}"))
}

pub(super) fn days(text: &str) -> Option<u32> {
    let days: u32 = text.parse().ok()?;
    (1..=3650).contains(&days).then_some(days)
}

pub(super) fn limit(text: &str) -> Option<DeactivationLimit> {
    match text.strip_suffix('%') {
        Some(share) => percent(share).map(DeactivationLimit::Percent),
        None => text.parse().ok().map(DeactivationLimit::Count),
    }
}

pub(super) fn percent(text: &str) -> Option<f64> {
    let percent: f64 = text.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

pub(super) fn import_mode(reader: &mut Reader<'_>) -> Option<ImportMode> {
    reader.choice("IMPORT_MODE", &ImportMode::WORDS)
}
