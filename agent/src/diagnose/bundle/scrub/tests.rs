//! Both nets over texts as they come from devices.

use serde_json::json;

use super::*;

fn json_of(with_environment: bool, mut value: Value) -> String {
    let mut scrubber = Scrubber::new(with_environment);
    scrubber.json("m", &mut value);
    value.to_string()
}

fn text_of(text: &str) -> String {
    Scrubber::new(false).text("m", text, false)
}

#[test]
fn fields_environments_labels_and_commands() {
    let value = json!([{
        "Config": {
            "Env": ["PATH=/bin", "MODE=night-shift", "DB_PASSWORD=hunter2", "BALENA_DEVICE_UUID=abc", "EMPTY="],
            "Labels": { "io.balena.app-id": "7", "com.example.note": "hunter3", "io.balena.api-key": "hunter4" },
            "Cmd": ["serve", "--password", "hunter5", "--token=hunter6", "--verbose", "yes"],
        },
        "environment": { "A": "hunter7", "N": 77, "NO": null },
        "auths": { "r.io": { "auth": "aHVudGVyOA==" } },
        "nested": "{\"apiKey\":\"hunter9\",\"uuid\":\"u\"}",
        "key-mgmt": "wpa-psk", "enabled_secret": true, "deviceApiKey": "", "pin": 4711,
    }]);
    let cleaned = json_of(false, value.clone());
    assert!(!cleaned.contains("hunter") && !cleaned.contains("night-shift") && !cleaned.contains("4711"), "{cleaned}");
    for kept in [
        "DB_PASSWORD=(removed)",
        "EMPTY=",
        "io.balena.app-id\":\"7",
        "serve",
        "--verbose",
        "yes",
        "wpa-psk",
        "enabled_secret\":true",
        "uuid",
    ] {
        assert!(cleaned.contains(kept), "{kept} in {cleaned}");
    }
    let with = json_of(true, value);
    assert!(with.contains("MODE=night-shift") && with.contains("hunter3") && !with.contains("hunter2"), "{with}");
    assert!(!with.contains("hunter4") && !with.contains("hunter5") && !with.contains("aHVudGVyOA"), "{with}");
}

#[test]
fn lines_of_logs() {
    for (line, cleaned) in [
        ("GET https://user:hunter2@example.com/x", "GET https://(removed)@example.com/x"),
        ("proxy socks5://u:p/w@h:1080 set", "proxy socks5://(removed)@h:1080 set"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: (removed)"),
        ("curl -H \"Authorization: token abc def\" x", "curl -H \"Authorization: (removed)\" x"),
        ("got bearer abcdefghij, ok", "got bearer (removed), ok"),
        ("?apikey=abc123&x=1", "?apikey=(removed)&x=1"),
        ("password: 'a b c' next", "password: '(removed)' next"),
        ("{\"token\":\"a\\\"b\",\"x\":1}", "{\"token\":\"(removed)\",\"x\":1}"),
        ("m=\"{\\\"psk\\\":\\\"abc\\\",\\\"x\\\":1}\"", "m=\"{\\\"psk\\\":\\\"(removed)\\\",\\\"x\\\":1}\""),
        ("run --api-key hunter2 --x", "run --api-key (removed) --x"),
        ("t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc e", "t (removed) e"),
        ("secrets = [a, b] rest", "secrets = (removed) rest"),
        ("credentials={\"a\":{\"x\":1},\"v\":\"hunter2\"} rest", "credentials=(removed) rest"),
        ("secrets: [[\"]hunter2\", \"\\\"]\"], 1] rest", "secrets: (removed) rest"),
        ("m=\"{\\\"tokens\\\":{\\\"a\\\":\\\"}x\\\\\\\"}\\\"},\\\"b\\\":1}\"", "m=\"{\\\"tokens\\\":(removed),\\\"b\\\":1}\""),
        ("secret={\"a\":1 hunter2", "secret=(removed)"),
        (
            "{\"token\":\"abc123def\",\"key\":\"-----BEGIN RSA PRIVATE KEY-----M\\nx-----END RSA PRIVATE KEY-----\",\"password\":\"x\"}",
            "{\"token\":\"(removed)\",\"key\":\"(removed)\",\"password\":\"(removed)\"}",
        ),
        ("a -----BEGIN PRIVATE KEY-----M-----END PRIVATE KEY----- b -----BEGIN PRIVATE KEY-----hunter2", "a (removed)"),
        ("ключ: значение, naïve=1", "ключ: значение, naïve=1"),
        ("the service waits: app 5", "the service waits: app 5"),
        ("", ""),
    ] {
        assert_eq!(text_of(line), cleaned, "{line}");
    }
    let key = "a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\nxyz\n-----END EC PRIVATE KEY-----\nb\n";
    let cleaned = text_of(key);
    assert!(cleaned.starts_with("a\n(removed)") && cleaned.ends_with("\nb\n") && !cleaned.contains("MHcC"), "{cleaned}");
}

#[test]
fn values_of_configurations_go_to_the_end_of_their_line_and_are_remembered() {
    let mut scrubber = Scrubber::new(false);
    let wifi = "[wifi-security]\nkey-mgmt=wpa-psk\npsk=pa,ss wo;rd\n[802-1x]\npassword=\"quo\"te\"\n";
    let cleaned = scrubber.text("wifi", wifi, true);
    assert_eq!(cleaned, "[wifi-security]\nkey-mgmt=wpa-psk\npsk=(removed)\n[802-1x]\npassword=\"(removed)\"\n");
    assert_eq!(scrubber.second_net("log", "saw pa,ss wo;rd and quo\"te"), "saw (removed) and (removed)");
    let torn = "{\"deviceApiKey\": \"abcdef0123\", \"uuid\": \"u\",";
    let cleaned = scrubber.text("config.json", torn, true);
    assert!(!cleaned.contains("abcdef0123") && cleaned.contains("uuid"), "{cleaned}");
    assert_eq!(scrubber.second_net("log", "key abcdef0123"), "key (removed)");
}

#[test]
fn what_was_removed_once_is_removed_everywhere_and_listed_without_its_value() {
    let mut scrubber = Scrubber::new(false);
    scrubber.json("config.json", &mut json!({ "deviceApiKey": "hunter2", "proxy": "http://me:hunter3@p:1" }));
    scrubber.json("docker", &mut json!({ "auths": { "r.io": { "auth": "bWU6aHVudGVyNA==" } } }));
    scrubber.json("env", &mut json!({ "Env": ["REGION=eu-west-1", "LEVEL=info", "N=12345"] }));
    for text in ["hunter2", "hunter3", "hunter4", "eu-west-1"] {
        assert_eq!(scrubber.second_net("log", &format!("x {text} y")), "x (removed) y");
    }
    assert_eq!(scrubber.second_net("log", "level info 12345"), "level info 12345", "too ordinary to be looked for");
    let (removed, places) = scrubber.places();
    let list = places.to_string();
    assert!(removed >= 9 && list.contains("config.json#/deviceApiKey") && !list.contains("hunter"), "{list}");
}

#[test]
fn texts_of_the_database() {
    let mut scrubber = Scrubber::new(false);
    let mut cell = |column, name, text| scrubber.cell(Cell { table: "t", column, name, text });
    assert_eq!(cell("key", None, "0123"), "(removed 1)");
    assert_eq!(cell("key", None, "4567"), "(removed 2)");
    assert_eq!(cell("value", Some("apiKey"), "abcd"), "(removed 3)");
    assert_eq!(cell("value", Some("name"), "abcd"), "abcd");
    assert_eq!(cell("body", None, r#"{"environment":{"A":"b"},"x":1}"#), r#"{"environment":{"A":"(removed)"},"x":1}"#);
    assert_eq!(cell("text", None, "plain"), "plain");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|[=:\"'\\\\{}\\[\\]@/\n-]|://|password|Bearer |eyJ){0,60}") {
        let mut scrubber = Scrubber::new(false);
        let cleaned = scrubber.text("m", &text, true);
        let _ = scrubber.second_net("m", &cleaned);
        let mut value = Value::String(text);
        scrubber.json("m", &mut value);
    }
}

#[test]
fn a_place_that_is_named_like_a_secret_does_not_tell_it() {
    let mut scrubber = Scrubber::new(false);
    scrubber.text("host/system-connections/hunter2", "psk=hunter2\n", true);
    let (removed, places) = scrubber.places();
    assert_eq!((removed, places), (1, json!([{ "where": "host/system-connections/(removed)", "times": 1 }])));
}

#[test]
fn many_ordinary_values_leave_room_for_secrets_and_too_many_are_told() {
    let mut scrubber = Scrubber::new(false);
    let values: Vec<String> = (0..MOST_VALUES).map(|number| format!("V{number}=ordinary-{number}")).collect();
    scrubber.json("env", &mut json!({ "Env": values }));
    assert!(!scrubber.full);
    scrubber.json("env", &mut json!({ "Env": ["ONE=one-too-many", "DB_PASSWORD=hunter2"] }));
    assert!(scrubber.full);
    assert_eq!(scrubber.second_net("log", "one-too-many hunter2"), "one-too-many (removed)");
    let secrets: Vec<String> = (0..=MOST_SECRETS).map(|number| format!("secret-{number}")).collect();
    scrubber.json("config", &mut json!({ "secrets": secrets }));
    assert_eq!(scrubber.known.len(), MOST_SECRETS);
}
