//! Sagas: several calls of which either all come about, or those that did are taken back. What was begun is ended, through a crash too.

pub(crate) mod counted;
mod journal;
mod machine;
pub(crate) mod operated;
mod record;
mod store;
