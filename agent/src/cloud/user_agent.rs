//! Who the agent says it is (protocol §2).

/// The version of balena-supervisor whose behaviour towards cloud and containers the agent keeps; release contracts ask
/// for ranges of it.
pub const SUPERVISOR_COMPATIBLE_VERSION: &str = "19.0.5";

/// What is known of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UserAgent<'a> {
    /// `PRETTY_NAME`.
    pub os_version: Option<&'a str>,
    /// `dev` or `prod`.
    pub os_variant: Option<&'a str>,
}

/// The header: `Supervisor/<version> (Linux; <os>; <dev|prod>) holdfast/<version>`, unknown parts left out.
pub(super) fn user_agent(of: &UserAgent<'_>) -> String {
    let mut system = "Linux".to_owned();
    for part in [of.os_version, of.os_variant].into_iter().flatten() {
        // It goes into a header and into a comment of one: only characters that are harmless in both.
        let part: String = part
            .chars()
            .filter(|c| (c.is_ascii_graphic() || *c == ' ') && !matches!(c, '(' | ')' | ';' | '\\'))
            .take(70)
            .collect();
        if !part.trim().is_empty() {
            system.push_str("; ");
            system.push_str(part.trim());
        }
    }
    format!("Supervisor/{SUPERVISOR_COMPATIBLE_VERSION} ({system}) holdfast/{}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parts_are_left_out_and_odd_characters_dropped() {
        let own = concat!("holdfast/", env!("CARGO_PKG_VERSION"));
        assert_eq!(user_agent(&UserAgent::default()), format!("Supervisor/19.0.5 (Linux) {own}"));
        let of = UserAgent { os_version: Some("balenaOS 6.0\r\n(x; é)"), os_variant: Some("prod") };
        assert_eq!(user_agent(&of), format!("Supervisor/19.0.5 (Linux; balenaOS 6.0x; prod) {own}"));
    }
}
