//! The one owner of all state.
//!
//! [`machine`] decides, purely; the executor does, and tells it what came of it; [`session`] keeps the screens. Nobody
//! else changes anything: the API's server sends commands and reads the latest view.

mod crash;
pub mod event;
pub mod executor;
pub mod goal;
pub mod guard;
mod history;
pub mod lock;
pub mod machine;
mod outgoing;
pub mod prebuilt;
pub mod reconcile;
pub mod refusal;
pub mod session;
pub mod store;
