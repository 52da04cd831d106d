//! Aggregates without a socket: the calls of each test are answered by a table.

mod cases;
mod costs;
mod failures;
mod hostile;
mod joins;
mod order;
mod pages;
mod table;
