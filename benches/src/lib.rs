//! Descartes: benches.
