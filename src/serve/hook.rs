//! Requests from the network to the receiver, and its answers back.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::http::Reply;
use crate::deadline::Deadline;
use crate::receiver::{self, ANSWER_TIME, Answer, Body, LARGEST_BODY, Receiver};

/// Deliveries that are read or made durable at once: bounds the memory that bodies take. More wait,
/// and are refused when their time is up.
const DELIVERIES_AT_ONCE: usize = 32;
/// A body must be here by then, so that there is time left to make it durable.
const KEPT_FOR_WRITING: Duration = Duration::from_millis(750);

/// Answers Okta.
#[derive(Clone)]
pub struct Hook {
    receiver: Arc<Receiver>,
    room: Arc<Semaphore>,
}

impl Hook {
    /// The network side of `receiver`.
    pub fn new(receiver: Receiver) -> Self {
        Self {
            receiver: Arc::new(receiver),
            room: Arc::new(Semaphore::new(DELIVERIES_AT_ONCE)),
        }
    }

    /// Answers one request within [`ANSWER_TIME`]. Without the right secret, nothing of the body is
    /// read.
    pub async fn answer(self, request: Request<Incoming>) -> Reply {
        let deadline = Deadline::within(ANSWER_TIME);
        let (head, body) = request.into_parts();
        let header = |name: &str| head.headers.get(name).map(HeaderValue::as_bytes);
        let method = head.method.as_str();
        let with_body = |body| receiver::Request {
            method,
            header: &header,
            body: Body::Plain(body),
        };
        if let Some(answer) = self.receiver.answer_to_head(&with_body(b"")).await {
            return reply(answer);
        }
        let reading = deadline.earlier_by(KEPT_FOR_WRITING);
        let read = async {
            let permit = self.room.acquire().await;
            (read(body).await, permit)
        };
        match timeout_at(reading.instant(), read).await {
            Ok((Ok(bytes), _permit)) => {
                reply(self.receiver.answer_by(&with_body(&bytes), deadline).await)
            }
            Ok((Err(status), _)) => closing(status),
            Err(_) => {
                tracing::warn!("a delivery did not arrive in time, or there are too many at once");
                closing(503)
            }
        }
    }
}

/// The body, or the status of the refusal.
async fn read(body: Incoming) -> Result<Bytes, u16> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |bytes| bytes > LARGEST_BODY) {
        return Err(413);
    }
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(413),
        Err(_) => Err(400),
    }
}

fn reply(answer: Answer) -> Reply {
    let mut reply = Reply::new(Full::from(answer.body));
    *reply.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        reply
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    reply
}

/// The rest of the body is not wanted: the connection ends with this answer.
fn closing(status: u16) -> Reply {
    let mut reply = reply(Answer::empty(status));
    reply
        .headers_mut()
        .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    reply
}
