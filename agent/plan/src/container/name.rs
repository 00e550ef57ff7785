//! The names containers carry in the engine (behaviour §4.4).

/// What the old container's name begins with while it hands over.
pub const HANDING_OVER_PREFIX: &str = "old_";

/// A container name taken apart: `[old_]<service>_<imageId>_<releaseId>[_<commit>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerName {
    /// Whether the container is the old one of a hand-over.
    pub handing_over: bool,
    /// Service name.
    pub service: String,
    /// The image's numeric id in the cloud.
    pub image_id: u64,
    /// The release's numeric id.
    pub release_id: u64,
    /// The release's commit; empty on very old containers.
    pub commit: String,
}

impl ContainerName {
    /// Reads a name; `None` when it is not of this form (such a container is still recognised by its labels).
    pub fn parse(name: &str) -> Option<ContainerName> {
        let name = name.trim_start_matches('/');
        let (handing_over, rest) = match name.strip_prefix(HANDING_OVER_PREFIX) {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        // The service name may hold underscores itself, so the numbers are looked for from the right.
        let parts: Vec<&str> = rest.split('_').collect();
        let number = |i: usize| parts.get(i).filter(|p| !p.is_empty()).and_then(|p| p.parse::<u64>().ok());
        for first in (1..parts.len().saturating_sub(1)).rev() {
            if let (Some(image_id), Some(release_id)) = (number(first), number(first + 1)) {
                return Some(ContainerName {
                    handing_over,
                    service: parts[..first].join("_"),
                    image_id,
                    release_id,
                    commit: parts[first + 2..].join("_"),
                });
            }
        }
        None
    }
}

impl std::fmt::Display for ContainerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = if self.handing_over { HANDING_OVER_PREFIX } else { "" };
        write!(f, "{prefix}{}_{}_{}", self.service, self.image_id, self.release_id)?;
        if self.commit.is_empty() { Ok(()) } else { write!(f, "_{}", self.commit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_went() {
        for (text, service) in
            [("main_1_2_abc", "main"), ("old_main_1_2_abc", "main"), ("a_b_c_10_20_ff", "a_b_c"), ("m_3_1_2", "m_3")]
        {
            let name = ContainerName::parse(text).unwrap();
            assert_eq!(name.service, service);
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for text in ["", "postgres", "main_1", "_1_x"] {
            assert_eq!(ContainerName::parse(text), None, "{text}");
        }
    }
}
