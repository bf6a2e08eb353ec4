//! What the HTTP side asks a simulated vendor for.

use std::future::Future;
use std::time::Duration;

use serde_json::Value;

use super::call::{Call, Reply};
use super::fault::Refused;

/// What answers requests: a simulated vendor.
pub(super) trait Model: Send + Sync + 'static {
    /// Answers one request, and notes in `call.notes` how it leaves the vendor's documents.
    fn answer(&self, call: &mut Call) -> impl Future<Output = Reply> + Send;

    /// The answer of this service about an object that does not exist.
    fn absent(&self, call: &Call) -> Reply;

    /// How this service refuses a caller.
    fn refused(&self, call: &Call, refused: Refused) -> Reply;

    /// How this service fails by itself.
    fn broken(&self, call: &Call) -> Reply;

    /// The whole world as JSON.
    fn world(&self) -> serde_json::Result<Value>;

    /// Puts another world in the place of the present one; tokens stay good.
    fn replace_world(&self, world: Value) -> serde_json::Result<()>;

    /// Lets time pass in the world.
    fn advance(&self, time: Duration);
}
