//! stub
pub const MAX_LINE: usize = 64 * 1024;
