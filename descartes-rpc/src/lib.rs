//! Descartes: rpc.
