//! Aggregates without a socket: the calls of each test are answered by a table.
