//! Random requests, the same ones for the same seed: known paths and unknown ones, with bodies and keys of every kind.

/// A request as it is sent.
pub struct Request {
    pub bytes: Vec<u8>,
    pub path: String,
    /// Whether it was sent without a good key where one is needed.
    pub is_stranger: bool,
    /// Whether its answer has no body.
    pub headless: bool,
    /// Whether another request can follow it on the same connection.
    pub is_whole: bool,
}

const PATHS: [&str; 46] = [
    "/",
    "/ping",
    "/ping/",
    "/v1/healthy",
    "/v1/update",
    "/v1/device",
    "/v1/reboot",
    "/v1/shutdown",
    "/v1/restart",
    "/v1/purge",
    "/v1/blink",
    "/v1/regenerate-api-key",
    "/v1/apps/1",
    "/v1/apps/1/start",
    "/v1/apps/1/stop",
    "/v1/device/host-config",
    "/v2/version",
    "/v2/state/status",
    "/v2/applications/state",
    "/v2/applications/1/state",
    "/v2/applications/1/restart",
    "/v2/applications/1/purge",
    "/v2/applications/1/restart-service",
    "/v2/applications/1/stop-service",
    "/v2/applications/1/start-service",
    "/v2/local/target-state",
    "/v2/local/device-info",
    "/v2/containerId",
    "/v2/device/name",
    "/v2/device/tags",
    "/v2/device/vpn",
    "/v2/cleanup-volumes",
    "/v3/status",
    "/v3/plan",
    "/v3/target",
    "/v3/target/history",
    "/v3/db",
    "/v3/db/backups",
    "/v3/locks",
    "/v3/volumes",
    "/v3/volumes/1_data/archive",
    "/v3/keys",
    "/v3/keys/rotate",
    "/v3/stats",
    "/metrics",
    "/v3/openapi.json",
];
const METHODS: [&str; 12] = ["GET", "GET", "GET", "GET", "POST", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"];
const FIELDS: [&str; 12] =
    ["force", "cancel", "appId", "serviceName", "imageId", "network", "service", "app", "operator", "key", "file", "\u{1f4a3}"];

/// A source of them.
pub struct Noise {
    random: fastrand::Rng,
    with_wrong_keys: bool,
}

impl Noise {
    pub fn new(seed: u64, with_wrong_keys: bool) -> Noise {
        Noise { random: fastrand::Rng::with_seed(seed), with_wrong_keys }
    }

    fn one_of(&mut self, all: &[&str]) -> String {
        all[self.random.usize(..all.len())].to_owned()
    }

    pub fn request(&mut self) -> Request {
        let (method, path) = (self.one_of(&METHODS), self.path());
        let mut query =
            if self.random.u8(..3) == 0 { format!("?{}={}", self.one_of(&FIELDS), self.word()) } else { String::new() };
        let mut headers = String::new();
        if self.with_wrong_keys {
            let key = self.key();
            match self.random.u8(..4) {
                0 => query = format!("?apikey={key}"),
                1 => headers = format!("Authorization: ApiKey {key}\r\n"),
                2 => headers = format!("Authorization: Bearer {key}\r\n"),
                _ => {}
            }
        }
        let query: String = query.chars().filter(char::is_ascii_graphic).collect();
        let body = self.body();
        let mut text = format!("{method} {path}{query} HTTP/1.1\r\nHost: {}\r\n{headers}", self.random.u16(..)).into_bytes();
        text.extend(format!("{}: {}\r\n", self.one_of(&["Accept", "Content-Type", "X-Y"]), self.kind()).into_bytes());
        let whole = self.random.u8(..30) != 0;
        let length = if whole { body.len() } else { self.random.usize(..=body.len()) };
        text.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
        text.extend(body);
        let headless = method == "HEAD";
        Request { bytes: text, path, is_stranger: self.with_wrong_keys, headless, is_whole: whole }
    }

    fn path(&mut self) -> String {
        let mut path = self.one_of(&PATHS);
        match self.random.u8(..8) {
            0 => path.push_str(&format!("/{}", self.random.u64(..))),
            1 => path.push('/'),
            2 => path = path.replace('1', &self.word()),
            3 => drop(path.pop()),
            _ => {}
        }
        let plain: String = path.chars().filter(char::is_ascii_graphic).collect();
        if plain.starts_with('/') { plain } else { format!("/{plain}") }
    }

    fn kind(&mut self) -> String {
        self.one_of(&[
            "application/json",
            "application/x-www-form-urlencoded",
            "text/plain",
            "*/*",
            "multipart/form-data; boundary=x",
        ])
    }

    /// Short words of all kinds, some of them numbers on the edge.
    fn word(&mut self) -> String {
        match self.random.u8(..5) {
            0 => self.random.i64(..).to_string(),
            1 => self.one_of(&[
                "0",
                "-1",
                "18446744073709551616",
                "1e999",
                "NaN",
                "true",
                "on",
                "null",
                "%00",
                "..%2f..",
                "%ff%fe",
            ]),
            2 => "9".repeat(self.random.usize(..2000)),
            _ => (0..self.random.usize(..40)).map(|_| self.random.char(' '..'\u{2fff}')).collect(),
        }
    }

    /// Something like a key, and never one.
    fn key(&mut self) -> String {
        match self.random.u8(..4) {
            0 => format!("{:032x}", self.random.u128(..)),
            1 => format!("{:08x}", self.random.u32(..)),
            2 => String::new(),
            _ => "f".repeat(self.random.usize(..400)),
        }
    }

    fn body(&mut self) -> Vec<u8> {
        match self.random.u8(..6) {
            0 | 1 => Vec::new(),
            2 => self.json(0).to_string().into_bytes(),
            3 => serde_json::json!({ self.one_of(&FIELDS): self.json(1), self.one_of(&FIELDS): self.json(2) })
                .to_string()
                .into_bytes(),
            4 => format!("{}={}&{}", self.one_of(&FIELDS), self.word(), self.word()).into_bytes(),
            _ => (0..self.random.usize(..3000)).map(|_| self.random.u8(..)).collect(),
        }
    }

    fn json(&mut self, depth: usize) -> serde_json::Value {
        match self.random.u8(..if depth > 4 { 4 } else { 6 }) {
            0 => self.random.bool().into(),
            1 => self.random.i64(..).into(),
            2 => self.word().into(),
            3 => serde_json::Value::Null,
            4 => (0..self.random.usize(..4)).map(|_| self.json(depth + 1)).collect::<Vec<_>>().into(),
            _ => {
                let fields = (0..self.random.usize(..4)).map(|_| (self.one_of(&FIELDS), self.json(depth + 1)));
                serde_json::Value::Object(fields.collect())
            }
        }
    }
}
