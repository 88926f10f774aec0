//! The shape of what a chat has cost on disk.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FormatError;
use super::record::to_bytes;
use crate::cost::{ChatCost, Window};

/// Encodes what a chat has cost in the last day.
#[must_use]
pub fn encode_cost(cost: &ChatCost) -> Bytes {
    let (owner, window) = (Arc::clone(&cost.owner), &cost.window);
    to_bytes(&CostDisk { owner, hour: window.hour(), usd: window.sums().to_vec() })
}

/// Reads what a chat has cost.
///
/// # Errors
/// When the bytes are not that.
pub fn decode_cost(bytes: &[u8]) -> Result<ChatCost, FormatError> {
    let disk: CostDisk =
        serde_json::from_slice(bytes).map_err(|error| FormatError::new("cost", error))?;
    if !disk.usd.iter().all(|usd| *usd >= 0.0) {
        return Err(FormatError::new("cost", "a sum that is less than nothing"));
    }
    Ok(ChatCost { owner: disk.owner, window: Window::of(disk.hour, &disk.usd) })
}

#[derive(Serialize, Deserialize)]
struct CostDisk {
    owner: Arc<str>,
    /// Hours since the Unix epoch.
    hour: i64,
    /// What was spent in that hour, and in those before it.
    usd: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_on_disk_is_the_one_that_earlier_versions_wrote() {
        let written = br#"{"owner":"ann","hour":500000,"usd":[0.5,0.0,1.25]}"#;
        let cost = decode_cost(written).expect("it is a cost");
        assert_eq!(
            cost,
            ChatCost { owner: "ann".into(), window: Window::of(500_000, &[0.5, 0.0, 1.25]) }
        );
        assert_eq!(encode_cost(&cost), &written[..]);
        assert!(decode_cost(br#"{"owner":"ann","hour":1,"usd":[-1.0]}"#).is_err());
    }
}
