//! What is told to the operator when the cloud cannot go on by itself (docs/protocol.md 13).

use crate::error::TrustError;

/// What somebody must change before it can go on; trying again alone does not help.
pub(super) fn remedy(error: &TrustError) -> Option<&'static str> {
    let TrustError::Cloud(error) = error else {
        return None;
    };
    match error.code()? {
        "memory_full" => Some(
            "the cloud's memory limit does not take another encoded generation (3 to 3.4 times its slots): its operator must raise \
             [limits] memory_limit_mib in cloud.toml and restart it; until then everything new stays in the \
             upload cache here. Smaller [layout] slots_per_generation here helps from the next generation on only",
        ),
        "storage_full" => Some(
            "the cloud's disk is full: its operator must free space or enlarge it; until then everything new stays in \
             the upload cache here",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use harpo_service::http::ClientError;

    use super::*;

    #[test]
    fn what_only_an_operator_can_mend_is_said_with_the_remedy() {
        let refused = |status: u16, code: &str| {
            TrustError::Cloud(ClientError::Refused {
                status: axum::http::StatusCode::from_u16(status).unwrap(),
                code: code.to_owned(),
                message: String::new(),
                retry_after: None,
            })
        };
        let memory = remedy(&refused(507, "memory_full")).unwrap();
        assert!(memory.contains("memory_limit_mib"), "{memory}");
        let disk = remedy(&refused(507, "storage_full")).unwrap();
        assert!(disk.contains("disk"), "{disk}");
        assert_eq!(remedy(&refused(503, "busy")), None);
        assert_eq!(remedy(&TrustError::Usage("memory_full".to_owned())), None);
    }
}
