//! Sagas: several calls of which either all come about, or those that did are taken back. What was begun is ended, through a crash too.

pub(crate) mod counted;
pub(crate) mod definition;
mod journal;
pub(crate) mod keeper;
mod machine;
pub(crate) mod operated;
pub(crate) mod record;
mod runner;
mod store;
