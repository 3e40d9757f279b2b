//! The one owner of all state.
//!
//! [`machine`] decides, purely; the executor does, and tells it what came of it; [`session`] keeps the screens. Nobody
//! else changes anything: the API's server sends commands and reads the latest view.

pub mod session;
