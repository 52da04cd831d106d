//! The words that options are written in: selectors, units, patterns, conditions, and where in the configuration a value stands.

pub mod condition;
pub mod path;
pub mod pattern;
pub mod selector;
pub mod spanned;
pub mod units;
