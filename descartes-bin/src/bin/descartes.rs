//! descartes.

fn main() {}
