//! `cargo run --example embed`

fn main() {}
