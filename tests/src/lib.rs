//! Descartes: tests.
