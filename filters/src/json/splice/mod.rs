//! Puts proved values together without a copy, until one is made at the end.
//!
//! Only [`Proved`] values can be put in, and each of them is exactly one JSON value: whatever a service answers, it has no say about anything
//! else than its own place.
//!
//! ```
//! use bytes::Bytes;
//! use frontgate_filters::json::{Plan, Proved, Reader, Template};
//!
//! let template: serde_json::Value = serde_json::from_str(r#"{"code": 0, "user": "{user}", "cart": {"of": ["{cart}"]}, "ads": "{ads}"}"#)?;
//! let names = ["{user}", "{cart}", "{ads}"];
//! let template = Template::new(&template, &|text| names.iter().position(|name| *name == text));
//!
//! let mut reader = Reader::new(Default::default());
//! reader.push(Bytes::from_static(br#" {"name": "Ann"} "#))?;
//! let user = reader.finish()?.whole();
//! let body = template.fill(&[Some(user), None, None]);
//!
//! assert_eq!(body.into_bytes(), r#"{"code":0,"user":{"name": "Ann"},"cart":{"of":[null]}}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod gather;
mod proved;
mod template;

#[cfg(test)]
mod tests;

pub use gather::Gather;
pub use proved::{MemberName, Proved};
pub use template::{Item, Member, Piece, Template};
