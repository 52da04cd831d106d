//! The machine by itself (`gate`, and `filters/tests/shuttled.rs` under every order of threads), the store (`store`), and all of it through
//! a chain (`counting`, `fallbacks`); what may be written (`options`).

mod bench;
mod counting;
mod fallbacks;
mod gate;
mod instead;
mod options;
mod store;
