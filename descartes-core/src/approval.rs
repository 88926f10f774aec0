//! Approvals: what agents ask before they do something, and what was decided.

mod attendance;
mod id;
mod record;

pub use attendance::{Attendance, Attending};
pub use id::{ApprovalId, NotAnApprovalId};
pub use record::{Approval, ApprovalFilter, ApprovalStatus, digest_of};
