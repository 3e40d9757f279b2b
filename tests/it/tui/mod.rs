//! The dashboard: screens by snapshot, keys scripted, the loop with its terminal and input as parameters.

mod alerts;
mod bay;
mod copying;
mod doors;
mod driver;
mod figures;
mod hostile;
mod inbox;
mod isolation;
mod keys;
mod logs;
mod looks;
mod looping;
mod memory;
mod painting;
mod passing;
mod ports;
mod pty;
mod reaching;
mod robust;
mod screens;
mod scripted;
mod services;
mod themes;
mod tiles;
