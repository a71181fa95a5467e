//! What the system shows to whoever runs it, in processes of its own.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod author;
mod bad_guests;
mod bad_input;
mod command_line;
mod crashes;
mod cut_and_heal;
mod data_folder;
mod divergences;
mod hostile;
mod inserts;
mod members;
mod no_laws;
mod quarantine;
mod rollouts;
mod versions;
