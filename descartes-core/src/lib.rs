//! Descartes: core.
