//! Real only.
