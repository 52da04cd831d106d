//! Removes members from JSON answers while they stream, by the class of the client's device or any other selector.

mod config;
mod filter;

pub use config::{Config, Member, Otherwise, Profile};
pub use filter::Trim;
