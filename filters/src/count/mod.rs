//! Counting without waiting for other threads, and the filters' metric families.

pub mod metrics;
pub mod stripe;
