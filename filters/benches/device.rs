//! What it costs to tell a device's class: `cargo bench -p frontgate-filters --bench device`.
fn main(){}
