//! Descartes: transport-unix.
