//! descartes-daemon.
