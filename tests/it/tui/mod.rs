//! The dashboard: screens by snapshot, keys scripted, the loop with its terminal and input as parameters.

mod bay;
mod driver;
mod hostile;
mod looping;
mod pty;
mod robust;
mod screens;
mod scripted;
