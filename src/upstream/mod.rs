//! The services behind the gateway: pools of endpoints, the choice between them, attempts with their deadlines, connections, and documents that
//! are kept elsewhere.

pub mod adaptive;
pub mod attempts;
pub mod balance;
pub mod call;
pub mod documents;
pub mod h1;
pub mod health;
pub mod pool;
pub mod timer;

pub use documents::Documents;
pub use pool::{NoPick, Pick, Pool, RetryPermit};
