//! Graphs without a socket: the calls of each test are answered by a table.

mod cases;
mod conformance;
mod table;
