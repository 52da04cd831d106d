//! The services behind the gateway: pools of endpoints, the choice between them, attempts with their deadlines, connections, and documents that
//! are kept elsewhere.

pub(crate) mod adaptive;
pub(crate) mod attempts;
pub(crate) mod balance;
pub(crate) mod call;
pub(crate) mod cause;
pub(crate) mod connect;
pub(crate) mod documents;
pub(crate) mod faulty;
pub(crate) mod found;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod hash;
pub(crate) mod health;
pub(crate) mod line;
pub(crate) mod pool;
pub(crate) mod timer;
pub(crate) mod tls;

pub(crate) use documents::Documents;
pub(crate) use found::Found;
pub(crate) use pool::{Failing, NoPick, Pick, Pool, RetryPermit};
