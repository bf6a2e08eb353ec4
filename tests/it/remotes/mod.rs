//! Okta and Anypoint when they do not answer as their documentation says.

mod absences;
mod client_errors;
mod entries;
mod lists;
mod objects;
mod refusals;
mod throttling;
mod values;

/// Answers of gateways in place of a service.
const GATEWAYS_404: [&str; 5] = [
    "",
    "{}",
    "404 page not found",
    r#"{"message":"no Route matched with those values"}"#,
    r#"{"errorCode":"E0000022","errorSummary":"The endpoint does not support the provided HTTP method"}"#,
];
