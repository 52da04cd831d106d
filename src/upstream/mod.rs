//! The services behind the gateway: pools of endpoints, the choice between them, attempts with their deadlines, and the key sets that tokens
//! need.

pub mod adaptive;
pub mod attempts;
pub mod balance;
pub mod call;
mod fetch;
pub mod h1;
pub mod health;
pub mod keys;
pub mod pool;
pub mod timer;

pub use keys::KeyRing;
pub use pool::{NoPick, Pick, Pool, RetryPermit};
