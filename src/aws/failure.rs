//! What an SDK error means: whether a retry may heal it, and what an operator can do.
//!
//! The service's own text is left out: it may quote values that were sent. Of a denied call, what AWS
//! says about its reason is read ([`Denial`]).

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::denial::Denial;
use crate::failure::{Failure, Side};

/// What was called: names for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AwsCall<'a> {
    /// Whose failure it is.
    pub side: Side,
    /// The operation as permissions spell it (`dynamodb:UpdateItem`).
    pub operation: &'a str,
    /// The table's name or the queue's address.
    pub resource: &'a str,
    /// The setting that names the resource.
    pub setting: &'a str,
}

/// Codes that a retry may heal, besides every 5xx and 429.
const RETRYABLE: &[&str] = &[
    "InternalFailure",
    "InternalServerError",
    "ItemCollectionSizeLimitExceededException",
    "KmsThrottled",
    "KMS.ThrottlingException",
    "LimitExceededException",
    "OverLimit",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

const MISSING: &[&str] = &[
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "TableNotFoundException",
];

const FORBIDDEN: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "KMS.AccessDeniedException",
    "KmsAccessDenied",
];

const CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// The SDK's error as a [`Failure`].
pub(crate) fn explain<E>(target: AwsCall<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let AwsCall {
        side,
        operation,
        resource,
        ..
    } = target;
    match error {
        SdkError::TimeoutError(_) => Failure::retryable(
            side,
            format!("{operation} on {resource} did not answer in time"),
        ),
        SdkError::DispatchFailure(failure) => {
            let no_credentials = failure.as_connector_error().is_some_and(|error| {
                mentions(error, "credential") && !error.is_io() && !error.is_timeout()
            });
            if no_credentials {
                return Failure::permanent(
                    side,
                    format!("{operation} on {resource} was not sent: no AWS credentials"),
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the \
                     function a role",
                );
            }
            Failure::retryable(
                side,
                format!("{operation} on {resource}: no connection, or it was lost"),
            )
        }
        SdkError::ResponseError(_) => Failure::retryable(
            side,
            format!("{operation} on {resource}: the answer was cut off or cannot be read"),
        ),
        SdkError::ConstructionFailure(_) => Failure::permanent(
            side,
            format!("{operation} on {resource}: the request cannot be built"),
            format!(
                "check {}, AWS_REGION and the AWS_ENDPOINT_URL variables",
                target.setting
            ),
        ),
        SdkError::ServiceError(refused) => refusal(
            target,
            refused.err().code().unwrap_or("no error code"),
            refused.raw().status().as_u16(),
            refused.err().message().unwrap_or_default(),
        ),
        _ => Failure::retryable(side, format!("{operation} on {resource} failed")),
    }
}

fn refusal(target: AwsCall<'_>, code: &str, status: u16, told: &str) -> Failure {
    let AwsCall {
        side,
        operation,
        resource,
        setting,
    } = target;
    let message = format!("{operation} on {resource} was refused ({code}, HTTP {status})");
    if status >= 500 || status == 429 || RETRYABLE.contains(&code) {
        return Failure::retryable(side, message);
    }
    if FORBIDDEN.contains(&code) {
        let denial = Denial::from_message(told, operation);
        let action = denial.action.as_deref().unwrap_or(operation);
        let reason = denial.in_words().map(|reason| format!("; {reason}"));
        return Failure::permanent(
            side,
            format!(
                "{action} on {resource} was refused ({code}, HTTP {status}{})",
                reason.unwrap_or_default()
            ),
            denial.advice(operation, resource),
        );
    }
    let advice = if MISSING.contains(&code) {
        format!(
            "{resource} does not exist in this account and region: check {setting} and AWS_REGION"
        )
    } else if CREDENTIALS.contains(&code) {
        "the AWS credentials are expired or not valid for this region: renew them".to_owned()
    } else {
        format!(
            "check that {setting} names a resource made by this version's template; if it does, report \
             {code} as a bug"
        )
    };
    Failure::permanent(side, message, advice)
}

/// Whether the error or one of its causes speaks of `word`.
fn mentions(error: &(dyn Error + 'static), word: &str) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().to_lowercase().contains(word) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: AwsCall<'_> = AwsCall {
        side: Side::Table,
        operation: "dynamodb:UpdateItem",
        resource: "people",
        setting: "TABLE_NAME",
    };

    #[test]
    fn throttling_and_server_errors_heal() {
        for (code, status) in [
            ("ThrottlingException", 400),
            ("ProvisionedThroughputExceededException", 400),
            ("InternalServerError", 500),
            ("whatever", 503),
            ("whatever", 429),
        ] {
            assert!(
                refusal(TABLE, code, status, "").is_retryable(),
                "{code} {status}"
            );
        }
    }

    #[test]
    fn refusals_say_what_to_change() {
        for (code, words) in [
            (
                "AccessDeniedException",
                "allow dynamodb:UpdateItem on people",
            ),
            ("ResourceNotFoundException", "check TABLE_NAME"),
            ("UnrecognizedClientException", "renew"),
            ("ValidationException", "TABLE_NAME"),
        ] {
            let failure = refusal(TABLE, code, 400, "");
            assert!(!failure.is_retryable(), "{code}");
            let advice = failure.advice.unwrap();
            assert!(advice.contains(words), "{code}: {advice}");
        }
    }

    #[test]
    fn a_denied_transaction_says_which_action_and_why() {
        let transaction = AwsCall {
            operation: "dynamodb:PutItem, dynamodb:DeleteItem",
            ..TABLE
        };
        let told = "User: arn:aws:sts::123456789012:assumed-role/r/ada is not authorized to perform: \
                    dynamodb:DeleteItem on resource: arn:aws:dynamodb:x:123456789012:table/people with an \
                    explicit deny in a resource-based policy";
        let failure = refusal(transaction, "AccessDeniedException", 400, told);
        assert_eq!(
            failure.message,
            "dynamodb:DeleteItem on people was refused (AccessDeniedException, HTTP 400; explicit deny in \
             a resource-based policy)"
        );
        assert!(!failure.to_string().contains("ada"), "{failure}");
    }
}
