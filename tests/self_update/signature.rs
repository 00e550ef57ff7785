//! A device with a public key installs only what is signed with the private one that belongs to it, whoever asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use super::{Ground, sha256};
use crate::support::{Engine, slots};

/// A pair of keys, made and used with the commands of docs/self-update.md.
struct Pair(tempfile::TempDir);

impl Pair {
    fn make() -> Pair {
        let pair = Pair(tempfile::tempdir().unwrap());
        pair.run("openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out update.pub");
        pair
    }

    fn public(&self) -> PathBuf {
        self.0.path().join("update.pub")
    }

    /// The signature of a content, in base64.
    fn sign(&self, content: &[u8]) -> String {
        std::fs::write(self.0.path().join("holdfast"), content).unwrap();
        self.run("openssl pkeyutl -sign -rawin -inkey key.pem -in holdfast | base64 -w0")
    }

    fn run(&self, script: &str) -> String {
        let done = Command::new("sh").args(["-ec", script]).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Ground<'_> {
    /// The cloud wants this agent, with this signature; its address.
    fn want_signed(&self, name: &str, content: &[u8], signature: Option<&str>) -> String {
        let (url, sum) = (self.files.put(name, content.to_vec()), sha256(content));
        let mut variables = vec![("HOLDFAST_AGENT_URL", url.as_str()), ("HOLDFAST_AGENT_SHA256", &sum)];
        variables.extend(signature.map(|signature| ("BALENA_HOLDFAST_AGENT_SIGNATURE", signature)));
        self.site.want_with(&self.release, &variables);
        url
    }

    /// Size and time of the record and of what lies in the slots.
    fn slot_files(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let folder = self.site.device.path("data/agent");
        let mut files = self.site.device.data_files();
        files.retain(|path, _| ["slots", "a", "b"].iter().any(|name| path.starts_with(folder.join(name))));
        files
    }

    /// The cloud asks for it, then a person does: both are told why not and what to do, and all is as it was.
    fn is_refused(&mut self, name: &str, content: &[u8], signature: Option<&str>, why: &[&str]) {
        let (files, agent, record) = (self.slot_files(), self.site.device.pid(), slots(&self.site.device).unwrap());
        let url = self.want_signed(name, content, signature);
        self.tells(&format!("{url}: {}", why[0]));
        let status = self.site.device.command(&["status"]);
        let told: Vec<&str> = status.stdout.split_whitespace().collect();
        assert!(why.iter().all(|why| told.join(" ").contains(why)), "{name}: {status:?}");
        self.works();
        self.site.want(&self.release);
        self.until("the wish to be withdrawn", |device| {
            super::check(slots(device)?["error"].is_null(), "there is an error still")
        });

        let given = self.site.device.path(name);
        std::fs::write(&given, content).unwrap();
        let mut arguments = vec!["self-update", given.to_str().unwrap()];
        arguments.extend(signature.iter().flat_map(|signature| ["--signature", signature]));
        let answer = self.site.device.command(&arguments);
        assert!(answer.code == 1 && why.iter().all(|why| answer.stderr.contains(why)), "{name}: {answer:?}");

        assert_eq!(self.slot_files(), files, "{name}: the slots are as they were");
        assert_eq!(self.site.device.pid(), agent, "{name}: the agent goes on");
        let now = slots(&self.site.device).unwrap();
        for field in ["running", "kept", "previous", "trial", "failed"] {
            assert_eq!(now[field], record[field], "{name}: {field}");
        }
        self.works();
    }
}

#[test]
fn only_what_is_signed_is_installed_where_there_is_a_key() {
    let Some(engine) = Engine::shared() else { return };
    let (ours, theirs) = (Pair::make(), Pair::make());
    let key = ours.public();
    let mut ground = Ground::settled_as(&engine, |device| device.set("HOLDFAST_UPDATE_KEY", key.to_str().unwrap()));
    let first = ground.good(1);
    let second = ground.good(2);
    let other = ground.good(3);
    let signature = ours.sign(&second);

    // A good one is taken and kept: by the cloud's wish, and over plain http by a person's.
    ground.want_signed("first", &first, Some(&ours.sign(&first)));
    assert_eq!(ground.wait_kept(&sha256(&first))["kept"]["slot"], "a");
    ground.works();
    ground.site.want(&ground.release);
    let url = ground.files.put("second", second.clone());
    let taken = ground.command(&["self-update", &url, "--signature", &signature]);
    assert!(taken.code == 0 && taken.stdout.contains("on trial"), "{taken:?}");
    assert_eq!(ground.wait_kept(&sha256(&second))["previous"]["sha256"], sha256(&first).as_str());
    ground.works();

    let unsigned = ["it has no signature", "HOLDFAST_AGENT_SIGNATURE"];
    let foreign = ["its signature is not one of this very file", "Sign the file again"];
    ground.is_refused("theirs", &other, Some(&theirs.sign(&other)), &foreign);
    ground.is_refused("bare", &other, None, &unsigned);
    ground.is_refused("of-another", &other, Some(&signature), &foreign);
    // What lies in the other slot, to be gone back to, is asked for: it is refused and stays.
    ground.is_refused("the-one-before", &first, None, &unsigned);
    // A key that cannot be read stops everything, also what is signed.
    std::fs::write(&key, "no key").unwrap();
    let files = ground.slot_files();
    ground.want_signed("signed", &other, Some(&ours.sign(&other)));
    ground.tells("nothing can be installed");
    assert_eq!(ground.slot_files(), files);
    ground.works();
    ground.site.want(&ground.release);
    ours.run("openssl pkey -in key.pem -pubout -out update.pub");
    refused_while_no_agent_runs(&mut ground, &other, &theirs);

    // An image has no signature that could be looked at.
    let answer = ground.site.device.command(&["self-update", "--image", "registry.example.com/holdfast:2"]);
    assert!(answer.code == 1 && answer.stderr.contains("an image bears no signature"), "{answer:?}");
    ground.works();
}

fn refused_while_no_agent_runs(ground: &mut Ground, content: &[u8], theirs: &Pair) {
    ground.site.device.kill();
    let (files, given) = (ground.slot_files(), ground.site.device.path("given"));
    std::fs::write(&given, content).unwrap();
    let given = given.to_str().unwrap();
    for (signature, why) in [(None, "it has no signature"), (Some(theirs.sign(content)), "its signature is not one")] {
        let mut arguments = vec!["self-update", given, "--offline"];
        arguments.extend(signature.iter().flat_map(|signature| ["--signature", signature]));
        let answer = ground.site.device.command(&arguments);
        assert!(answer.code == 1 && answer.stderr.contains(&format!("{given}: {why}")), "{answer:?}");
    }
    assert_eq!(ground.slot_files(), files);
    assert!(!Path::new(&ground.site.device.path("data/agent/new")).exists(), "what was refused is not kept");
    ground.works();
    assert_eq!(slots(&ground.site.device).unwrap()["trial"], Value::Null);
}
