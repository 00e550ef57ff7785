//! The keys of the local API: whose they are and what they reach.

use std::collections::BTreeMap;
use std::fmt;

use holdfast_plan::target::AppId;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::keys::made_name;
use crate::store::{KeyOwner, Loaded, StoredKey, usual_scopes};

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    key: String,
    /// What is compared with what a client sends. The time a comparison takes may tell how far two digests agree, which says
    /// nothing about a key: nobody can choose a text by the beginning of its digest without knowing the whole.
    digest: [u8; 32],
    /// What it may do: a JSON array in balena's words.
    pub scopes: String,
    /// When it was made, ms since 1970, where that is known.
    pub made_ms: Option<i64>,
}

impl ApiKey {
    fn new(stored: StoredKey, made_ms: Option<i64>) -> ApiKey {
        ApiKey { digest: sha256(&stored.key), key: stored.key, scopes: stored.scopes, made_ms }
    }

    /// The key itself. Name the place it goes to; never format it into a message.
    pub fn reveal(&self) -> &str {
        &self.key
    }

    /// Whether its scopes name an app.
    pub fn reaches(&self, app: AppId) -> bool {
        let scopes = serde_json::from_str::<Vec<Value>>(&self.scopes).unwrap_or_default();
        scopes.iter().any(|scope| match scope["type"].as_str() {
            Some("global") => true,
            Some("app") => scope["appId"].as_u64() == Some(app),
            _ => false,
        })
    }
}

/// All keys there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring(BTreeMap<KeyOwner, ApiKey>);

impl fmt::Debug for Keyring {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Keyring {
    /// The keys that are stored.
    pub fn of(loaded: &Loaded) -> Keyring {
        let made = |owner| loaded.values.get(&made_name(owner)).and_then(|text| text.parse().ok());
        let keys = loaded.api_keys.iter().map(|(owner, stored)| (owner.clone(), ApiKey::new(stored.clone(), made(owner))));
        Keyring(keys.collect())
    }

    /// Whose key a text is. Every key is compared, so that the time taken says nothing of which one it was.
    pub fn find(&self, given: &str) -> Option<(&KeyOwner, &ApiKey)> {
        let given = sha256(given);
        self.0.iter().fold(None, |found, (owner, key)| if key.digest == given { Some((owner, key)) } else { found })
    }

    /// A key by its owner.
    pub fn get(&self, owner: &KeyOwner) -> Option<&ApiKey> {
        self.0.get(owner)
    }

    /// Every key with its owner, the global one first.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyOwner, &ApiKey)> {
        self.0.iter()
    }

    /// The key that reaches everything.
    pub fn global(&self) -> Option<&str> {
        self.0.get(&None).map(ApiKey::reveal)
    }

    /// Those of services.
    pub(super) fn of_services(&self) -> BTreeMap<(AppId, String), String> {
        self.0.iter().filter_map(|(owner, key)| Some((owner.clone()?, key.key.clone()))).collect()
    }

    /// Whether a text is somebody's key.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.0.values().any(|known| known.key == key)
    }

    /// Forgets an owner's key.
    pub(super) fn take_out(&mut self, owner: &KeyOwner) {
        self.0.remove(owner);
    }

    /// Puts a key in, for its owner's earlier one if there was one: it may do what that could.
    pub(super) fn put(&mut self, owner: KeyOwner, key: String, made_ms: Option<i64>) {
        let scopes = self.0.get(&owner).map_or_else(|| usual_scopes(&owner), |old| old.scopes.clone());
        self.0.insert(owner, ApiKey::new(StoredKey { key, scopes }, made_ms));
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Keyring {
        let key = |digit: char, owner: &KeyOwner| StoredKey { key: digit.to_string().repeat(32), scopes: usual_scopes(owner) };
        let main = Some((5, "main".to_owned()));
        let mut loaded = Loaded::default();
        loaded.api_keys.extend([(None, key('0', &None)), (main.clone(), key('1', &main))]);
        loaded.values.insert(made_name(&main), "1700000000000".into());
        Keyring::of(&loaded)
    }

    #[test]
    fn keys_are_found_whole_or_not_at_all() {
        let ring = ring();
        let found = |text: &str| ring.find(text).map(|(owner, _)| owner.clone());
        assert_eq!(found(&"0".repeat(32)), Some(None));
        assert_eq!(found(&"1".repeat(32)), Some(Some((5, "main".into()))));
        for wrong in ["", "0", &"1".repeat(31), &"1".repeat(33), &"2".repeat(32)] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert!(Keyring::default().find("").is_none());
    }

    #[test]
    fn a_new_key_takes_the_place_of_the_old_one_and_its_scopes() {
        let mut ring = ring();
        let main = Some((5, "main".to_owned()));
        assert_eq!(ring.get(&main).unwrap().made_ms, Some(1_700_000_000_000));
        ring.0.get_mut(&main).unwrap().scopes = "[]".into();
        ring.put(main.clone(), "2".repeat(32), None);
        assert!(ring.find(&"1".repeat(32)).is_none());
        assert_eq!(ring.find(&"2".repeat(32)).unwrap().0, &main);
        assert_eq!((ring.get(&main).unwrap().scopes.as_str(), ring.iter().count()), ("[]", 2));
        assert!(!ring.get(&main).unwrap().reaches(5));
    }

    #[test]
    fn scopes_name_apps() {
        let reaches = |scopes: &str, app| ApiKey::new(StoredKey { key: String::new(), scopes: scopes.into() }, None).reaches(app);
        assert!(reaches(r#"[{"type":"app","appId":5}]"#, 5) && reaches(r#"[1,{"type":"global"}]"#, 5));
        for scopes in ["", "[]", "{}", r#"[{"type":"app","appId":6}]"#, r#"[{"type":"app"}]"#, r#"[{"appId":5}]"#] {
            assert!(!reaches(scopes, 5), "{scopes}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", ring()), r#"{None, Some((5, "main"))}"#);
    }
}
