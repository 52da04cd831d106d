//! From texts to a tree whose every value knows its place, and from the tree to the types of `model`.

pub mod collect;
mod de;
mod problem;
pub mod tree;
mod unite;
pub mod yaml;

pub use unite::unite;
pub use yaml::MAX_BYTES;
