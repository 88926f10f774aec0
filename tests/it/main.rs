//! The outermost ring: the real programs, seen from outside.
//!
//! One binary; each module shows one thing. How often the torture tests repeat is
//! `DESCARTES_TORTURE` (1.0 is the full count, 0.05 without it).

/// The rules of the house: sizes, names, arrows, weight.
mod house;
