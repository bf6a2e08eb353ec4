//! What the table and the queue are like, for checks. Reads only.

use aws_sdk_dynamodb::types::TimeToLiveStatus;
use aws_sdk_sqs::types::QueueAttributeName;

use super::table::target;
use super::{AwsCall, explain};
use crate::failure::{Failure, Side};

/// A DynamoDB table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Names of the key attributes, partition key first.
    pub key: Vec<String>,
    /// Whether it can be used now.
    pub active: bool,
}

/// An SQS queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFacts {
    /// Whether messages that keep failing become dead letters.
    pub has_dead_letters: bool,
}

/// Looks at a table.
///
/// # Errors
/// When it cannot be described.
pub async fn table(client: &aws_sdk_dynamodb::Client, name: &str) -> Result<TableFacts, Failure> {
    let answer = client
        .describe_table()
        .table_name(name)
        .send()
        .await
        .map_err(|error| explain(target(name, "dynamodb:DescribeTable"), &error))?;
    let table = answer.table.as_ref();
    Ok(TableFacts {
        key: table
            .map(|table| table.key_schema())
            .unwrap_or_default()
            .iter()
            .map(|part| part.attribute_name().to_owned())
            .collect(),
        active: table
            .and_then(|table| table.table_status())
            .is_some_and(|status| matches!(status.as_str(), "ACTIVE" | "UPDATING")),
    })
}

/// The attribute by which a table's items expire; `None` when nothing expires.
///
/// # Errors
/// When it cannot be described.
pub async fn time_to_live(
    client: &aws_sdk_dynamodb::Client,
    name: &str,
) -> Result<Option<String>, Failure> {
    let answer = client
        .describe_time_to_live()
        .table_name(name)
        .send()
        .await
        .map_err(|error| explain(target(name, "dynamodb:DescribeTimeToLive"), &error))?;
    let on = |status: Option<&TimeToLiveStatus>| {
        matches!(
            status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        )
    };
    Ok(answer
        .time_to_live_description
        .filter(|ttl| on(ttl.time_to_live_status()))
        .and_then(|ttl| ttl.attribute_name))
}

/// Looks at a queue.
///
/// # Errors
/// When it cannot be described.
pub async fn queue(client: &aws_sdk_sqs::Client, url: &str) -> Result<QueueFacts, Failure> {
    let asked = AwsCall {
        side: Side::Queue,
        operation: "sqs:GetQueueAttributes",
        resource: url,
        setting: "QUEUE_URL",
    };
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .map_err(|error| explain(asked, &error))?;
    let attribute = |name: QueueAttributeName| {
        answer
            .attributes()
            .and_then(|attributes| attributes.get(&name))
            .cloned()
    };
    Ok(QueueFacts {
        has_dead_letters: attribute(QueueAttributeName::RedrivePolicy).is_some(),
    })
}
