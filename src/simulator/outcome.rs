//! What a call is answered with: what the model says, or what a fault makes of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::call::{Call, Content, Reply};
use super::server::Model;
use super::traffic::{FaultKind, Moment, Traffic};

/// What is sent.
pub(super) enum Outcome {
    Reply(Reply),
    InHalves(Reply, Rest),
    Drop,
}

/// What becomes of the second half of a body.
pub(super) enum Rest {
    /// It comes after a pause.
    Late(Duration),
    /// The connection breaks instead.
    Never,
}

/// Asks the model, and plays the fault that strikes this call.
pub(super) async fn run<M: Model>(model: &M, traffic: &Traffic, call: &mut Call) -> Outcome {
    let Some((kind, moment)) = traffic.strike(&call.method, &call.path) else {
        return Outcome::Reply(model.answer(call).await);
    };
    match kind {
        FaultKind::StaleRead => call.stale = true,
        FaultKind::ShortPage(items) => call.page_cap = Some(items),
        FaultKind::Delay(pause) if moment == Moment::BeforeEffect => {
            tokio::time::sleep(pause).await
        }
        _ => {}
    }
    let needs_answer = moment == Moment::AfterEffect
        || matches!(
            kind,
            FaultKind::StaleRead
                | FaultKind::ShortPage(_)
                | FaultKind::LostItem
                | FaultKind::Delay(_)
                | FaultKind::SlowBody(_)
        );
    let reply = if needs_answer {
        model.answer(call).await
    } else {
        Reply::json(200, json!({"data": []}))
    };
    match kind {
        FaultKind::StaleRead | FaultKind::ShortPage(_) => Outcome::Reply(reply),
        FaultKind::LostItem => Outcome::Reply(without_last_item(reply)),
        FaultKind::Delay(pause) => {
            if moment == Moment::AfterEffect {
                tokio::time::sleep(pause).await;
            }
            Outcome::Reply(reply)
        }
        FaultKind::Status {
            code,
            headers,
            body,
        } => {
            let mut reply = Reply::text(code, "application/json", body);
            reply.headers = headers;
            Outcome::Reply(reply)
        }
        FaultKind::DropConnection => Outcome::Drop,
        FaultKind::TruncatedBody => Outcome::InHalves(reply, Rest::Never),
        FaultKind::SlowBody(pause) => Outcome::InHalves(reply, Rest::Late(pause)),
        FaultKind::WrongJson => {
            Outcome::Reply(Reply::json(200, json!({"surprise": [1, "two", null]})))
        }
    }
}

/// The last item of the list is left out; what is said about the list stays.
fn without_last_item(mut reply: Reply) -> Reply {
    if let Content::Json(list) = &mut reply.content
        && let Some(items) = list.get_mut("data").and_then(Value::as_array_mut)
    {
        items.pop();
    }
    reply
}
