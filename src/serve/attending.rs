//! Keeps the connection of a request that the gate let in.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower::{Service, ServiceExt as _};

use super::connections::HeldPlace;
use crate::receiver::{Admitted, Answer};

/// Stands between the gate and `S`: from here until the answer, waiting for `S` included, the connection is busy.
#[derive(Clone)]
pub(crate) struct Attending<S>(pub S);

impl<S, B> Service<Admitted<B>> for Attending<S>
where
    S: Service<Admitted<B>, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, admitted: Admitted<B>) -> Self::Future {
        let busy = admitted.extensions().get().map(HeldPlace::busy);
        let inner = self.0.clone();
        Box::pin(async move {
            let answer = inner.oneshot(admitted).await;
            drop(busy);
            answer
        })
    }
}
