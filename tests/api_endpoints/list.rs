//! The endpoints of balena-supervisor 19.0.5, how each is tried, and what is expected of it.

use std::fmt;

/// Who is let in over TCP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// No key is needed.
    Everybody,
    /// Any key; what a service sees is its own app.
    Service,
    /// The services of the app it is about.
    OwnApp,
    /// Services with the label `io.balena.features.host-control`.
    HostControl,
    /// Nobody but who has the global key.
    Operator,
}

impl Who {
    pub fn words(self) -> &'static str {
        match self {
            Who::Everybody => "everybody",
            Who::Service => "any key",
            Who::OwnApp => "the app's services",
            Who::HostControl => "label `host-control`",
            Who::Operator => "the global key",
        }
    }
}

/// An endpoint.
pub struct Endpoint {
    pub method: &'static str,
    pub path: &'static str,
    pub query: &'static str,
    pub body: &'static str,
    pub who: Who,
    /// What may be answered on the simulated device, which has no host to act on.
    pub statuses: &'static [u16],
    /// What stands in the answer.
    pub holds: &'static str,
    pub difference: &'static str,
    /// Its answer has no end.
    pub streams: bool,
    /// It acts whatever the body is.
    pub acts_without_a_body: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Endpoint {
    const fn new(method: &'static str, path: &'static str, who: Who) -> Endpoint {
        Endpoint {
            method,
            path,
            query: "",
            body: "",
            who,
            statuses: &[200],
            holds: "",
            difference: "",
            streams: false,
            acts_without_a_body: false,
        }
    }

    const fn get(path: &'static str, who: Who) -> Endpoint {
        Endpoint::new("GET", path, who)
    }

    const fn post(path: &'static str, who: Who) -> Endpoint {
        Endpoint::new("POST", path, who)
    }

    const fn patch(path: &'static str, who: Who) -> Endpoint {
        Endpoint::new("PATCH", path, who)
    }

    /// `:appId` in it is the app it is tried on.
    const fn body(self, body: &'static str) -> Endpoint {
        Endpoint { body, ..self }
    }

    const fn query(self, query: &'static str) -> Endpoint {
        Endpoint { query, ..self }
    }

    const fn answers(self, statuses: &'static [u16], holds: &'static str) -> Endpoint {
        Endpoint { statuses, holds, ..self }
    }

    /// An answer without an end, whose first line holds this.
    const fn streams(self, holds: &'static str) -> Endpoint {
        Endpoint { streams: true, holds, ..self }
    }

    const fn differs(self, difference: &'static str) -> Endpoint {
        Endpoint { difference, ..self }
    }

    /// It acts whatever the body is, so it is not tried with every key.
    const fn acts(self) -> Endpoint {
        Endpoint { acts_without_a_body: true, ..self }
    }
}

const LABEL: &str = "a service needs the label `io.balena.features.host-control`; balena-supervisor lets every service do it";
const OWN: &str = "a service sees its own app";

pub static ENDPOINTS: [Endpoint; 35] = [
    Endpoint::get("/ping", Who::Everybody).answers(&[200], "OK"),
    Endpoint::get("/v1/healthy", Who::Everybody)
        .answers(&[200], "OK")
        .differs("speaks of the agent, not of the network; with `Accept: application/json` the reasons"),
    Endpoint::post("/v1/blink", Who::HostControl).acts().differs(LABEL),
    Endpoint::post("/v1/regenerate-api-key", Who::Service).acts().differs("a service's container is made anew with its new key"),
    Endpoint::post("/v1/restart", Who::OwnApp).body("{\"appId\":\":appId\"}").answers(&[200], "OK"),
    Endpoint::post("/v1/purge", Who::OwnApp).body("{\"appId\":\":appId\"}").answers(&[200], "OK"),
    Endpoint::post("/v1/apps/:appId/stop", Who::OwnApp).answers(&[200], "containerId"),
    Endpoint::post("/v1/apps/:appId/start", Who::OwnApp).answers(&[200], "containerId"),
    Endpoint::get("/v1/apps/:appId", Who::OwnApp).answers(&[200], "containerId"),
    Endpoint::post("/v1/reboot", Who::HostControl).acts().answers(&[202, 500], "Data").differs(LABEL),
    Endpoint::post("/v1/shutdown", Who::HostControl).acts().answers(&[202, 500], "Data").differs(LABEL),
    Endpoint::post("/v1/update", Who::Service)
        .answers(&[204, 202], "")
        .differs("`force` and `cancel` take the label, as they concern every app"),
    Endpoint::get("/v1/device", Who::Service).answers(&[200], "update_pending").differs(OWN),
    Endpoint::get("/v1/device/host-config", Who::HostControl)
        .answers(&[200, 503], "")
        .differs("takes the label: it holds the proxy's password"),
    Endpoint::patch("/v1/device/host-config", Who::HostControl)
        .body("{\"network\":{\"hostname\":\"a\"}}")
        .answers(&[200, 503], "")
        .differs("takes the label; badly typed objects and misspelt fields are refused with 400"),
    Endpoint::post("/v2/applications/:appId/restart-service", Who::OwnApp)
        .body("{\"serviceName\":\"main\"}")
        .answers(&[200], "OK"),
    Endpoint::post("/v2/applications/:appId/stop-service", Who::OwnApp).body("{\"serviceName\":\"main\"}").answers(&[200], "OK"),
    Endpoint::post("/v2/applications/:appId/start-service", Who::OwnApp).body("{\"serviceName\":\"main\"}").answers(&[200], "OK"),
    Endpoint::post("/v2/applications/:appId/restart", Who::OwnApp).answers(&[200], "OK"),
    Endpoint::post("/v2/applications/:appId/purge", Who::OwnApp).answers(&[200], "OK"),
    Endpoint::get("/v2/applications/state", Who::Service).answers(&[200], "updateStatus"),
    Endpoint::get("/v2/applications/:appId/state", Who::Service).answers(&[200], "commit"),
    Endpoint::get("/v2/local/target-state", Who::Service).answers(&[200], "success"),
    Endpoint::post("/v2/local/target-state", Who::Operator)
        .body("{}")
        .answers(&[400], "failed")
        .differs("takes the global key: a target is every app"),
    Endpoint::get("/v2/local/device-info", Who::Service).answers(&[200], "deviceType"),
    Endpoint::get("/v2/local/logs", Who::Service)
        .streams("{\"message\":\"Streaming logs\",\"isSystem\":true}")
        .differs("a service sees its own app, and what the agent says of it"),
    Endpoint::get("/v2/version", Who::Service).answers(&[200], "19.0.5"),
    Endpoint::get("/v2/containerId", Who::Service).query("?service=main").answers(&[200], "containerId"),
    Endpoint::get("/v2/state/status", Who::Service).answers(&[200], "appState").differs(OWN),
    Endpoint::get("/v2/device/name", Who::Service).answers(&[200], "deviceName"),
    Endpoint::get("/v2/device/tags", Who::Service).answers(&[200], "success"),
    Endpoint::patch("/v2/device/tags", Who::HostControl).body("{\"a\":\"b\"}").answers(&[202], "success").differs(LABEL),
    Endpoint::get("/v2/device/vpn", Who::Service).answers(&[200], "vpn"),
    Endpoint::get("/v2/cleanup-volumes", Who::Service)
        .acts()
        .answers(&[200], "success")
        .differs("a service's key removes volumes of its own app"),
    Endpoint::post("/v2/journal-logs", Who::HostControl)
        .body("{\"count\":1}")
        .streams("a line of the journal, asked for with --no-pager --lines=1 --output=short")
        .differs(LABEL),
];
