//! The engine's own sources, without the filter around them.

#[path = "../../src/trim/engine/mod.rs"]
pub mod engine;
#[path = "../../src/trim/path.rs"]
pub mod path;
#[path = "../../src/trim/policy/mod.rs"]
pub mod policy;

pub use engine::{OnMalformed, Trimmer};
pub use path::Path;
pub use policy::Policy;
