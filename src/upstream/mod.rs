//! The services behind the gateway: pools of endpoints, the choice between them, and their deadlines.

pub mod adaptive;
pub mod balance;
pub mod health;
pub mod pool;
pub mod watchdog;

pub use pool::{Pick, Pool, RetryPermit};
