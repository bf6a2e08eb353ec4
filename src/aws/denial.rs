//! What AWS itself says about a call that it denied.
//!
//! The message quotes principals and resources. Only the action and the kind of policy are taken from it (IAM user
//! guide, "Troubleshoot access denied error messages").

/// The policy that decided against a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecidedBy {
    /// A policy of this kind says "Deny"; no "Allow" elsewhere outweighs it.
    Denied(&'static str),
    /// Policies of this kind have to say "Allow", and none does.
    NotAllowed(&'static str),
    /// AWS does not say (SQS, for example, often names the queue and nothing else).
    Unstated,
}

/// The kinds of policy by AWS's own names.
const KINDS: &[&str] = &[
    "identity-based policy",
    "resource-based policy",
    "permissions boundary",
    "service control policy",
    "resource control policy",
    "session policy",
    "VPC endpoint policy",
];

const NOT_AUTHORIZED: &str = "is not authorized to perform: ";

/// One denied call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// The action that was denied: one of several, when the call needs several.
    pub action: Option<String>,
    pub reason: DecidedBy,
}

impl Denial {
    /// Reads AWS's message. `operation` spells the actions that the call needs: SQS names them in
    /// small letters.
    pub(super) fn from_message(message: &str, operation: &str) -> Self {
        let named = message
            .split_once(NOT_AUTHORIZED)
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .filter(|word| is_action(word));
        let action = named.map(|named| {
            operation
                .split(", ")
                .find(|known| known.eq_ignore_ascii_case(named))
                .unwrap_or(named)
                .to_owned()
        });
        let kind = |before: &str| {
            let (_, rest) = message.split_once(before)?;
            KINDS.iter().find(|kind| rest.starts_with(**kind)).copied()
        };
        let reason = if let Some(kind) =
            kind("with an explicit deny in a ").or_else(|| kind("with an explicit deny in an "))
        {
            DecidedBy::Denied(kind)
        } else if let Some(kind) = kind("because no ") {
            DecidedBy::NotAllowed(kind)
        } else {
            DecidedBy::Unstated
        };
        Self { action, reason }
    }

    /// The reason in AWS's own words, for the message.
    pub(super) fn in_words(&self) -> Option<String> {
        match self.reason {
            DecidedBy::Denied(kind) => Some(format!("explicit deny in a {kind}")),
            DecidedBy::NotAllowed(kind) => Some(format!("no {kind} allows it")),
            DecidedBy::Unstated => None,
        }
    }

    /// What an operator can do.
    pub(super) fn advice(&self, operation: &str, resource: &str) -> String {
        let action = self.action.as_deref().unwrap_or(operation);
        match self.reason {
            DecidedBy::NotAllowed("identity-based policy") => {
                format!("allow {action} on {resource} in the function's role")
            }
            DecidedBy::NotAllowed(kind) => {
                format!("allow {action} on {resource} in the {kind}; the role alone is not enough")
            }
            DecidedBy::Denied(kind) => format!(
                "take the deny of {action} on {resource} out of the {kind}; allowing it in the function's \
                 role does not help"
            ),
            DecidedBy::Unstated => format!(
                "allow {action} on {resource} in the function's role; if it is allowed there, look for a \
                 deny in the resource's policy, the permissions boundary and the account's policies"
            ),
        }
    }
}

/// `service:Action`, and nothing that could be anything else.
fn is_action(word: &str) -> bool {
    word.split_once(':').is_some_and(|(service, name)| {
        let short = |part: &str| (1..=64).contains(&part.len());
        short(service)
            && short(name)
            && service
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "User: arn:aws:sts::123456789012:assumed-role/hook/okta-anypoint-hook";

    fn denial(rest: &str, operation: &str) -> Denial {
        Denial::from_message(&format!("{WHO} {rest}"), operation)
    }

    #[test]
    fn the_advice_for_an_explicit_deny_does_not_name_the_role() {
        let queue = "arn:aws:sqs:eu-central-1:123456789012:people.fifo";
        for article in ["a resource-based policy", "an identity-based policy"] {
            let denial = denial(
                &format!(
                    "is not authorized to perform: sqs:sendmessage on resource: {queue} with an \
                     explicit deny in {article}"
                ),
                "sqs:SendMessage",
            );
            let advice = denial.advice("sqs:SendMessage", "people.fifo");
            assert!(
                advice.starts_with("take the deny of sqs:SendMessage on people.fifo out of the"),
                "{advice}"
            );
            assert!(!advice.contains("allow sqs"), "{advice}");
            assert!(
                denial.in_words().unwrap().contains("explicit deny"),
                "{denial:?}"
            );
        }
    }

    #[test]
    fn a_transaction_names_the_action_that_was_denied() {
        let denial = denial(
            "is not authorized to perform: dynamodb:DeleteItem on resource: arn:aws:dynamodb:x because no \
             identity-based policy allows the dynamodb:DeleteItem action",
            "dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem",
        );
        assert_eq!(denial.action.as_deref(), Some("dynamodb:DeleteItem"));
        assert_eq!(
            denial.advice("dynamodb:PutItem, dynamodb:DeleteItem", "people"),
            "allow dynamodb:DeleteItem on people in the function's role"
        );
    }

    #[test]
    fn the_advice_names_the_kind_of_policy() {
        for kind in ["permissions boundary", "service control policy"] {
            let denial = denial(
                &format!(
                    "is not authorized to perform: dynamodb:Scan on resource: arn because no {kind} \
                     allows the dynamodb:Scan action"
                ),
                "dynamodb:Scan",
            );
            let advice = denial.advice("dynamodb:Scan", "people");
            assert!(advice.contains(&format!("in the {kind}")), "{advice}");
        }
    }

    #[test]
    fn without_a_reason_the_advice_names_the_role_and_the_denies() {
        let denial = Denial::from_message(
            "Access to the resource https://sqs.eu-central-1.amazonaws.com/ is denied.",
            "sqs:SendMessage",
        );
        assert_eq!(
            (&denial.action, denial.reason),
            (&None, DecidedBy::Unstated)
        );
        let advice = denial.advice("sqs:SendMessage", "people.fifo");
        assert!(
            advice.contains("role") && advice.contains("deny"),
            "{advice}"
        );
    }

    #[test]
    fn other_text_of_the_message_is_ignored() {
        for planted in [
            "is not authorized to perform: ada@acme.example on resource: x because no secret allows it",
            "is not authorized to perform: https://acme.example/ with an explicit deny in a diary",
            "is not authorized to perform: :x",
        ] {
            let denial = denial(planted, "sqs:SendMessage");
            assert_eq!(
                (&denial.action, denial.reason),
                (&None, DecidedBy::Unstated),
                "{planted}"
            );
        }
    }
}
