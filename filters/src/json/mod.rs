//! JSON bodies: read once, byte for byte, without a tree.
//!
//! A [`Reader`] proves that a text is exactly one value and finds values in it, [`Template`] puts such values together. A [`Trimmer`] removes members from a body while it streams:
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use frontgate_filters::json::{OnMalformed, Path, Policy, Trimmer};
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

pub mod bits;
pub mod engine;
pub mod path;
pub mod place;
pub mod policy;
pub mod reader;
pub mod splice;
mod white;

pub use engine::{Malformed, OnMalformed, Trimmer};
pub use path::{Path, PathError};
pub use place::Place;
pub use policy::{Policy, PolicyError};
pub use reader::{Change, Document, Element, Fault, Found, Mark, Plan, Reader};
pub use splice::{Gather, Proved, Template};
