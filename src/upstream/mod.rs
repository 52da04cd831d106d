//! The services behind the gateway: pools of endpoints, the choice between them, their deadlines, and the key sets that tokens need.

pub mod adaptive;
pub mod balance;
mod fetch;
pub mod health;
pub mod keys;
pub mod pool;
pub mod watchdog;

pub use keys::KeyRing;
pub use pool::{NoPick, Pick, Pool, RetryPermit};
