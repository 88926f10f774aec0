//! Claims about messages and connections, over methods made for it.

mod ordering;
mod protocol;
mod serving;
mod shedding;
mod standing;
