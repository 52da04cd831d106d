//! The words that options are written in (selectors, units, patterns, conditions, URLs, networks, and where in the configuration a value is), and
//! what everybody must say or read alike: reserved headers, header fields, caching, claims, preflights, a stable hash.

pub mod cache_control;
pub mod claims;
pub mod condition;
pub mod fields;
pub mod fnv;
pub mod matching;
mod meant;
pub mod moment;
pub mod network;
pub mod path;
pub mod pattern;
pub mod preflight;
pub mod reserved;
pub mod selector;
pub mod spanned;
pub mod units;
pub mod url;
