//! The law as a table of scenarios, then what surrounds it: keys, tiers, headers, state.

mod filter;
mod law;
mod options;
mod rooms;
