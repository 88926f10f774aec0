//! descartes-daemon.

fn main() {}
