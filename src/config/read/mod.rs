//! From texts to a tree whose every value knows its place, and from the tree to the types of `model`.

mod absent;
mod advice;
pub(super) mod alone;
pub(super) mod collect;
mod de;
mod layout;
mod problem;
pub(super) mod tree;
mod unite;
pub(super) mod yaml;

pub(super) use problem::listed;
pub(super) use unite::unite;
pub(super) use yaml::MAX_BYTES;
