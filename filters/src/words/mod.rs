//! The words that options are written in (selectors, units, patterns, conditions, URLs, and where in the configuration a value is), and
//! what everybody must say alike: reserved headers, preflights, a stable hash.

pub mod condition;
pub mod fnv;
mod meant;
pub mod path;
pub mod pattern;
pub mod preflight;
pub mod reserved;
pub mod selector;
pub mod spanned;
pub mod units;
pub mod url;
