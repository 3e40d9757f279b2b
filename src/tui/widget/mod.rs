//! Pieces that several panes are drawn with. They know buffers and styles, nothing of the model.

pub mod ansi;
pub mod line;
pub mod screen;
pub mod spark;
