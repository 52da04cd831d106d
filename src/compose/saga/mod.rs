//! Sagas: several calls of which either all come about, or those that did are taken back. What was begun is ended, through a crash too.

mod definition;
mod journal;
mod machine;
mod record;
mod store;
