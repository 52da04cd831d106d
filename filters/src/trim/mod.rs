//! Removes members from JSON bodies while they stream, byte for byte and without a tree.
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use frontgate_filters::trim::{OnMalformed, Path, Policy, Trimmer};
//!
//! let paths: Vec<Path> = vec!["items.images.hd".parse()?, "**.debug".parse()?];
//! let policy = Arc::new(Policy::drop(&paths)?);
//!
//! let mut trimmer = Trimmer::new(policy, OnMalformed::Pass);
//! let mut body = Some(Bytes::from_static(br#"{"items": [{"id": 1, "images": {"hd": "h", "sd": "s"}}], "debug": 1}"#));
//! trimmer.push(&mut body, true)?;
//!
//! assert_eq!(body.as_deref(), Some(&br#"{"items": [{"id": 1, "images": {"sd": "s"}}]}"#[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
pub mod engine;
mod filter;
pub mod path;
pub mod policy;

pub use config::Config;
pub use engine::{Malformed, OnMalformed, Trimmer};
pub use filter::Trim;
pub use path::{Path, PathError};
pub use policy::{Policy, PolicyError};
