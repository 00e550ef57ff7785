//! Images made from nothing, pushed to the private registry, and forgotten by the engine again, so that the agent has to
//! pull them for real.

use serde_json::Value;

use super::http::encode;
use super::{Engine, archive, unique};

/// What a container of an image does.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Sleeps until it is told to end, and then ends at once.
    Sleeps,
    /// The same with a health check that succeeds.
    SleepsHealthy,
    /// The same with a health check that fails.
    SleepsUnhealthy,
    /// Serves its variant's name on port 80.
    Serves,
    /// Ends with exit code 3.
    Ends,
}

/// Ends at once when told to, and wakes up for nothing else.
const SLEEP: &str = r#"CMD ["/bin/sh","-c","trap 'exit 0' TERM INT; while true; do sleep 86400 & wait $!; done"]"#;
const SERVE: &str = r#"CMD ["/bin/sh","-c","trap 'exit 0' TERM INT; httpd -f -p 80 -h /www & wait $!"]"#;
const END: &str = r#"CMD ["/bin/false"]"#;
const HEALTH: &str = "HEALTHCHECK --interval=1s --timeout=5s CMD true";
const NO_HEALTH: &str = "HEALTHCHECK --interval=1s --timeout=5s --retries=1 CMD false";

impl Role {
    fn changes(self) -> &'static [&'static str] {
        match self {
            Role::Sleeps => &[SLEEP],
            Role::SleepsHealthy => &[SLEEP, HEALTH],
            Role::SleepsUnhealthy => &[SLEEP, NO_HEALTH],
            Role::Serves => &[SERVE, "EXPOSE 80"],
            Role::Ends => &[END],
        }
    }
}

impl Engine {
    /// Makes an image nobody else has and returns its reference by digest. `variant` stands in its file `/variant`.
    pub fn image(&self, role: Role, variant: &str) -> String {
        self.image_with_ballast(role, variant, 0)
    }

    /// The same with so many MB in it that cannot be compressed.
    pub fn image_with_ballast(&self, role: Role, variant: &str, ballast_mb: usize) -> String {
        let repository = format!("localhost:5000/v2/{:016x}", unique());
        let changes: String =
            role.changes().iter().chain(&["ENV PATH=/bin"]).map(|change| format!("&changes={}", encode(change))).collect();
        let import = format!("/images/create?fromSrc=-&repo={}&tag=made{changes}", encode(&repository));
        let archive = archive::root_file_system(&format!("{variant} {}", unique()), ballast_mb * 1_000_000);
        let made = self.try_call("POST", &import, &archive).expect("the engine answers");
        assert!(made.status == 200 && !made.text().contains("errorDetail"), "{}", made.text());
        let digest = self.push(&repository);
        self.call("DELETE", &format!("/images/{repository}:made"), &Value::Null);
        format!("{repository}@{digest}")
    }

    fn push(&self, repository: &str) -> String {
        let progress = self.call("POST", &format!("/images/{repository}/push?tag=made"), &Value::Null).text();
        let lines = progress.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let digest = lines.filter_map(|line| line["aux"]["Digest"].as_str().map(str::to_owned)).next_back();
        digest.unwrap_or_else(|| panic!("pushing {repository}: {progress}"))
    }

    /// A reference to an image that is in no registry.
    pub fn missing_image(&self) -> String {
        format!("localhost:5000/v2/{:016x}@sha256:{:064x}", unique(), unique())
    }

    /// Whether the engine has an image under this reference.
    pub fn has_image(&self, reference: &str) -> bool {
        self.try_call("GET", &format!("/images/{reference}/json"), &[]).is_ok_and(|answer| answer.status == 200)
    }
}
