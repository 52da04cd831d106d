//! The services behind the gateway: pools of endpoints, the choice between them, their deadlines, and documents that are kept elsewhere.

pub mod adaptive;
pub mod balance;
pub mod documents;
pub mod health;
pub mod pool;
pub mod watchdog;

pub use documents::Documents;
pub use pool::{NoPick, Pick, Pool, RetryPermit};
