//! The word that the engine's policies are named with.

#[path = "../../src/words/fnv.rs"]
pub mod fnv;
