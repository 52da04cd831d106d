//! Graphs without a socket: the calls of each test are answered by a table.

mod answers;
mod attacks;
mod cases;
mod conformance;
mod federation;
mod fuzz;
mod hostile;
mod inputs;
mod oracle;
mod requests;
mod table;
mod tailcall;
