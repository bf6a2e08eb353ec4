//! A FIFO queue as Lambda's event source mapping uses it.

use std::time::Duration;

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use serde_json::json;

use super::Message;
use crate::servers;

/// A queue for one test.
#[derive(Clone)]
pub struct TestQueue {
    pub client: aws_sdk_sqs::Client,
    pub url: String,
}

impl TestQueue {
    pub async fn create() -> Self {
        let client = servers::sqs().await;
        let queue = client
            .create_queue()
            .queue_name(format!("q-{}.fifo", uuid::Uuid::new_v4()))
            .attributes(QueueAttributeName::FifoQueue, "true");
        let url = queue.send().await.unwrap().queue_url.unwrap();
        Self { client, url }
    }

    /// Up to ten messages, hidden for `visibility` seconds.
    pub async fn receive(&self, visibility: i32) -> Vec<Message> {
        self.receive_from(&self.url, visibility).await
    }

    /// The same from another queue.
    pub async fn receive_from(&self, url: &str, visibility: i32) -> Vec<Message> {
        let answer = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .visibility_timeout(visibility)
            .message_system_attribute_names(MessageSystemAttributeName::All);
        let messages = answer.send().await.unwrap().messages.unwrap_or_default();
        let read = messages.into_iter().map(|message| Message {
            id: message.message_id.unwrap(),
            receipt: message.receipt_handle.unwrap(),
            body: message.body.unwrap(),
            attributes: message
                .attributes
                .unwrap()
                .into_iter()
                .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
                .collect(),
        });
        read.collect()
    }

    /// Shows a message after `pause`, as the end of its time-out would.
    pub async fn show(&self, message: &Message, pause: Duration) {
        tokio::time::sleep(pause).await;
        let call = self.client.change_message_visibility().queue_url(&self.url);
        let call = call.receipt_handle(&message.receipt).visibility_timeout(0);
        call.send().await.unwrap();
    }

    pub async fn delete(&self, message: &Message) {
        let call = self.client.delete_message().queue_url(&self.url);
        call.receipt_handle(&message.receipt).send().await.unwrap();
    }

    /// The number of waiting messages, and of those in work or postponed.
    pub async fn depth(&self) -> (u32, u32) {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .unwrap();
        let attributes = answer.attributes.unwrap();
        let count = |name| attributes[&name].parse().unwrap();
        (
            count(QueueAttributeName::ApproximateNumberOfMessages),
            count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )
    }
}
