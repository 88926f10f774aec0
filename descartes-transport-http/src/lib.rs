//! Descartes: transport-http.
