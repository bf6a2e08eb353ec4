//! HTTP requests as `lambda_http` knows them: REST and HTTP APIs (payload formats 1.0 and 2.0), function URLs,
//! load balancers, `sam local start-api`.
//!
//! [`Function`] is a thin service around `lambda_http`'s adapter. `lambda_http` 1.3.2 (seen with every case in
//! `tests/it/hook/shapes.rs`) panics at a body that is not base64, at a path without a leading slash, at a
//! bad `host`, and at a raw blank or quote in the query; and it fails an event with a null header, a null
//! context or a header value beyond ASCII. Either way the caller would get a 5xx, and strangers could set off the
//! alarm. Here both get a 400.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::{self, BoxFuture, FutureExt as _};
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use lambda_http::aws_lambda_events::encodings::Body;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, IntoResponse, Response};
use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tower::{Service, ServiceExt as _, util::MapResponse};

use crate::receiver::{Answer, Receiver};
use crate::telemetry::catch_panic;

/// The fields that tell a reader of the log what an unknown event is.
const TELLING: &str = "version rawPath path httpMethod method headers multiValueHeaders requestContext body Records detail-type \
    task";

/// What the function is invoked with.
pub enum HttpEvent {
    /// A request.
    Request(Box<LambdaRequest>),
    /// None of the shapes above, with the fields that show what it is.
    Unknown(String),
}

impl<'de> Deserialize<'de> for HttpEvent {
    /// Never fails: any other event is [`HttpEvent::Unknown`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Ok(event) = <&RawValue>::deserialize(deserializer).map(RawValue::get) else {
            return Ok(Self::Unknown("not JSON".to_owned()));
        };
        Ok(match read_request(event) {
            Ok(request) => Self::Request(Box::new(request)),
            Err(_) => Self::Unknown(telling_fields(event)),
        })
    }
}

/// `lambda_http` tries payload format 1.0 first. The template's API sends 2.0, and no event of another service has its
/// `requestContext.http`. Trying 2.0 before the rest saves a second reading of most deliveries.
fn read_request(event: &str) -> serde_json::Result<LambdaRequest> {
    serde_json::from_str(event)
        .map(LambdaRequest::ApiGatewayV2)
        .or_else(|_| serde_json::from_str(event))
}

fn telling_fields(event: &str) -> String {
    let Ok(fields) = serde_json::from_str::<std::collections::HashMap<&str, &RawValue>>(event)
    else {
        return "not an object".to_owned();
    };
    let kind = |value: &RawValue| if value.get() == "null" { "=null" } else { "" };
    let found = TELLING
        .split(' ')
        .filter_map(|name| Some(format!("{name}{}", kind(fields.get(name)?))));
    found.collect::<Vec<_>>().join(" ")
}

/// An answer in the form that the asking service reads.
#[derive(Serialize)]
#[serde(untagged)]
pub enum HttpAnswer {
    /// The receiver's.
    Received(<Requests as Service<LambdaEvent<LambdaRequest>>>::Response),
    /// A refusal, with the fields that all of the services know.
    Refused(ApiGatewayProxyResponse),
}

/// Takes what `lambda_http` makes of events to the receiver.
type Requests = Adapter<'static, Text, MapResponse<Receiver, fn(Answer) -> Text>>;

/// The receiver as a Lambda function. Clones share everything.
#[derive(Clone)]
pub struct Function(Requests);

impl From<Receiver> for Function {
    fn from(receiver: Receiver) -> Self {
        Self(Adapter::from(MapResponse::new(
            receiver,
            Text as fn(_) -> _,
        )))
    }
}

impl Service<LambdaEvent<HttpEvent>> for Function {
    type Response = HttpAnswer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpAnswer, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, event: LambdaEvent<HttpEvent>) -> Self::Future {
        let LambdaEvent { payload, context } = event;
        let answering = match payload {
            HttpEvent::Request(request) => {
                let answering = || self.0.call(LambdaEvent::new(*request, context));
                let answering = catch_panic(answering);
                if answering.is_none() {
                    tracing::warn!(
                        "refused a request whose path, query, host or body cannot be read"
                    );
                }
                answering
            }
            HttpEvent::Unknown(fields) => {
                tracing::error!(
                    fields,
                    "refused an event that is no HTTP request. Put this function behind an HTTP or REST API, \
                     a function URL or a load balancer only"
                );
                None
            }
        };
        match answering {
            Some(answering) => answering
                .map(|answer| answer.map(HttpAnswer::Received))
                .boxed(),
            None => future::ok(HttpAnswer::Refused(bad_request())).boxed(),
        }
    }
}

/// A 400 that every one of the services understands.
fn bad_request() -> ApiGatewayProxyResponse {
    let mut answer = ApiGatewayProxyResponse::default();
    answer.status_code = 400;
    answer.body = Some(Body::Text(String::new()));
    answer
}

/// An answer whose body is known to be UTF-8. `lambda_http` would look for another character set, and its tables of
/// them would be linked.
pub struct Text(Answer);

impl IntoResponse for Text {
    fn into_response(self) -> BoxFuture<'static, Response<Body>> {
        future::ready(self.0.map(Body::Text)).boxed()
    }
}

/// Answers one event outside of the Lambda runtime.
pub async fn answer(receiver: &Receiver, event: HttpEvent) -> HttpAnswer {
    let event = LambdaEvent::new(event, lambda_runtime::Context::default());
    let Ok(answer) = Function::from(receiver.clone()).oneshot(event).await;
    answer
}
