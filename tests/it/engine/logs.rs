//! Logs under faults.
