//! What an SDK error means, and what an operator can do.
//!
//! A retry may heal every one of them: expired credentials, a policy and a missing table are about the surroundings,
//! never about the user or group that the call was for. So no event may fail for good because of them.
//!
//! The service's own text is left out, because it may quote values that were sent. Only the reason that AWS gives for a
//! denied call is read ([`Denial`]).

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::denial::Denial;
use crate::failure::{Cause, Failure, Side};

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

/// Codes of a service that wants fewer calls, besides every 429.
const THROTTLED: &[&str] = &[
    "KmsThrottled",
    "KMS.ThrottlingException",
    "LimitExceededException",
    "OverLimit",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of a service that cannot answer now, besides every 5xx.
const UNAVAILABLE: &[&str] = &[
    "InternalFailure",
    "InternalServerError",
    "ItemCollectionSizeLimitExceededException",
    "PriorRequestNotComplete",
    "ReplicatedWriteConflictException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
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
        )
        .because(Cause::Timeout),
        SdkError::DispatchFailure(failure) => {
            let no_credentials = failure.as_connector_error().is_some_and(|error| {
                mentions(error, "credential") && !error.is_io() && !error.is_timeout()
            });
            if no_credentials {
                return Failure::retryable(
                    side,
                    format!("{operation} on {resource} was not sent: no AWS credentials"),
                )
                .because(Cause::RefusedCredentials)
                .advising(
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
        SdkError::ConstructionFailure(_) => Failure::retryable(
            side,
            format!("{operation} on {resource}: the request cannot be built"),
        )
        .because(Cause::BadSettings)
        .advising(format!(
            "check {}, AWS_REGION and the AWS_ENDPOINT_URL variables",
            target.setting
        )),
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
    let answer = format!("{code}, HTTP {status}");
    let refused = format!("{operation} on {resource} was refused ({answer})");
    if status == 429 || THROTTLED.contains(&code) {
        let throttled = format!("{operation} on {resource} was throttled ({answer})");
        return Failure::retryable(side, throttled).because(Cause::Throttled);
    }
    if status >= 500 || UNAVAILABLE.contains(&code) {
        return Failure::retryable(side, refused);
    }
    if FORBIDDEN.contains(&code) {
        let denial = Denial::from_message(told, operation);
        let action = denial.action.as_deref().unwrap_or(operation);
        let reason = denial.in_words().map(|reason| format!("; {reason}"));
        return Failure::retryable(
            side,
            format!(
                "{action} on {resource} was refused ({answer}{})",
                reason.unwrap_or_default()
            ),
        )
        .because(Cause::RefusedRights)
        .advising(denial.advice(operation, resource));
    }
    let (cause, advice) = if MISSING.contains(&code) {
        let advice = format!(
            "{resource} does not exist in this account and region: check {setting} and AWS_REGION"
        );
        (Cause::NotFound, advice)
    } else if CREDENTIALS.contains(&code) {
        let advice =
            "the AWS credentials are expired or not valid for this region: renew them".to_owned();
        (Cause::RefusedCredentials, advice)
    } else {
        let advice = format!(
            "check that {setting} names a resource made by this version's template; if it does, report \
             {code} as a bug"
        );
        (Cause::Rejected, advice)
    };
    Failure::retryable(side, refused)
        .because(cause)
        .advising(advice)
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
    fn every_refusal_is_retryable_and_has_its_cause() {
        for (code, status, cause) in [
            ("ThrottlingException", 400, Cause::Throttled),
            (
                "ProvisionedThroughputExceededException",
                400,
                Cause::Throttled,
            ),
            ("whatever", 429, Cause::Throttled),
            ("InternalServerError", 500, Cause::Unavailable),
            ("TransactionConflictException", 400, Cause::Unavailable),
            ("whatever", 503, Cause::Unavailable),
            ("AccessDeniedException", 400, Cause::RefusedRights),
            ("ExpiredTokenException", 400, Cause::RefusedCredentials),
            (
                "UnrecognizedClientException",
                400,
                Cause::RefusedCredentials,
            ),
            ("ResourceNotFoundException", 400, Cause::NotFound),
            ("QueueDoesNotExist", 400, Cause::NotFound),
            ("ValidationException", 400, Cause::Rejected),
            ("InvalidParameterValue", 400, Cause::Rejected),
        ] {
            let failure = refusal(TABLE, code, status, "");
            assert!(failure.is_retryable(), "{code} {status}");
            assert_eq!(failure.cause, cause, "{code} {status}");
            let is_throttled = failure.message.contains("was throttled");
            assert_eq!(is_throttled, cause == Cause::Throttled, "{failure}");
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
            let advice = refusal(TABLE, code, 400, "").advice.unwrap();
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
