//! A new version is obtained, examined, put into the free slot, and marked for its trial; each step durable before the next.
//! A cut at any point leaves the version that is kept as it was, and what was done so far is found and used.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::error::{SlotError, shown_address};
use super::folder::{Folder, file_sha256, sync_folder};
use super::record::{Binary, Slot, Slots, Starts, Trial};
use super::signature::PublicKey;
use super::{download, examine, point};
use crate::http;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Where a version comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// An http or https address.
    Url(String),
    /// An image, where the agent is a container.
    Image(String),
}

/// A version that is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it comes from.
    pub source: Source,
    /// Its SHA-256, in lower-case hex, where it is known.
    pub sha256: Option<String>,
    /// Its signature.
    pub signature: Option<Vec<u8>>,
    /// The device variables that ask for it; `None` when a person does.
    pub wish: Option<String>,
    /// It does not have to reach the cloud.
    pub offline: bool,
}

/// What it takes to obtain one.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Where the slots are.
    pub folder: Folder,
    /// Where the public key lies, when that was said.
    pub key: Option<PathBuf>,
    /// Where the host's certificates are looked for.
    pub host_root: PathBuf,
    /// Certificates of config.json.
    pub root_ca_pem: Option<String>,
    /// Held while somebody is at the new file: examining it goes on when whoever waits for that has gone.
    pub turn: Arc<Mutex<()>>,
}

/// A version that passed every check and has no slot yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its file.
    pub path: PathBuf,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// What it says it is.
    pub version: String,
}

/// Obtains a version and examines it. What an earlier attempt left is used.
///
/// # Errors
/// What is wrong with it, or kept it from being obtained; nothing changed then.
pub async fn obtain(ground: &Ground, job: &Job, free: Slot) -> Result<Candidate, SlotError> {
    let turn = ground.turn.clone().lock_owned().await;
    let key = PublicKey::read(ground.key.as_ref())?;
    PublicKey::expect(key.as_ref(), &job.source.to_string(), job.signature.as_deref())?;
    ground.folder.make()?;
    let (slot, new) = (ground.folder.binary(free), ground.folder.new_binary());
    let places = [slot, new.clone()];
    let sum = job.sha256.clone();
    let there = aside(move || places.into_iter().find(|path| sum.is_some() && file_sha256(path).ok() == sum)).await?;
    let path = match there {
        Some(path) => path,
        None => {
            bring(ground, job, key.is_some()).await?;
            point("the binary is there");
            new.clone()
        }
    };
    let job = job.clone();
    aside(move || {
        let judged = judge(&path, &job, key);
        // What is not right is no beginning for the next attempt; in a slot it is what may be gone back to.
        if judged.is_err() && path == new {
            let _ = fs::remove_file(&new);
        }
        drop(turn);
        judged
    })
    .await?
}

async fn bring(ground: &Ground, job: &Job, signed: bool) -> Result<(), SlotError> {
    match &job.source {
        Source::File(file) => {
            let (file, folder) = (file.clone(), ground.folder.clone());
            aside(move || copy(&file, &folder)).await?
        }
        Source::Url(url) => {
            let protected = url.starts_with("https://") || job.sha256.is_some() || signed;
            if !protected {
                return Err(SlotError::of(url, "over http anybody may have sent it: name its SHA-256 (--sha256)"));
            }
            let tls = http::tls(&ground.host_root, ground.root_ca_pem.as_deref());
            let host = url.parse::<reqwest::Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
            let options = http::Options {
                user_agent: concat!("holdfast/", env!("CARGO_PKG_VERSION")),
                connect_timeout: CONNECT_LIMIT,
                proxy: !host.is_some_and(|host| http::is_loopback(&host)),
            };
            let client = tls.and_then(|tls| http::client(tls, &options)).map_err(|why| SlotError::of(url, why))?;
            // Two parts of an unknown whole may be of two.
            let known = job.sha256.is_some() || signed;
            Box::pin(download::download(&client, url, &ground.folder, known)).await
        }
        Source::Image(image) => Err(SlotError::of(image, "an image has no place in a slot")),
    }
}

fn copy(file: &Path, folder: &Folder) -> Result<(), SlotError> {
    let found = fs::metadata(file).map_err(SlotError::io(file, "it cannot be read"))?;
    if !found.is_file() {
        return Err(SlotError::file(file, "it is no regular file"));
    }
    let new = folder.new_binary();
    download::room(&new, found.len(), found.len())?;
    // The note is about something else that was to lie there.
    let _ = fs::remove_file(folder.download_note());
    let copied = (|| {
        let mut target = File::create(&new)?;
        // It may grow meanwhile.
        let length = io::copy(&mut File::open(file)?.take(download::LARGEST_BYTES + 1), &mut target)?;
        target.sync_all().map(|()| length)
    })();
    let refused = match copied {
        Ok(length) if length <= download::LARGEST_BYTES => return Ok(()),
        Ok(_) => SlotError::file(file, "it is larger than an agent"),
        Err(error) => SlotError::io(file, "it cannot be copied to the data partition")(error),
    };
    let _ = fs::remove_file(&new);
    Err(refused)
}

/// Examines a file that lies beside the slots, or in the free one.
fn judge(path: &Path, job: &Job, key: Option<PublicKey>) -> Result<Candidate, SlotError> {
    let sha256 = file_sha256(path).map_err(SlotError::io(path, "it cannot be read"))?;
    let name = job.source.to_string();
    if let Some(expected) = job.sha256.as_ref().filter(|expected| **expected != sha256) {
        return Err(SlotError::of(&name, format_args!("its SHA-256 is {sha256} and should be {expected}; it was not installed")));
    }
    if let Some(key) = key {
        key.check(&name, path, job.signature.as_deref())?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(SlotError::io(path, "its mode cannot be set"))?;
    let version = examine::version(path)?;
    Ok(Candidate { path: path.to_owned(), sha256, version })
}

/// Puts a version into the free slot. What lay there is given up first, so that nothing points to it any more.
///
/// # Errors
/// What the file system answered; the version that is kept is as it was.
pub fn put(folder: &Folder, slots: Slots, candidate: &Candidate) -> Result<(Slots, Slot), SlotError> {
    let slot = slots.free();
    let given_up = Slots { previous: slots.previous.clone().filter(|previous| previous.slot != slot), ..slots.clone() };
    if given_up != slots {
        folder.store(&given_up)?;
    }
    let place = folder.binary(slot);
    if candidate.path != place {
        fs::rename(&candidate.path, &place).map_err(SlotError::io(&place, "it cannot be put there"))?;
        point("the binary is in its slot");
        for changed in [place.parent(), place.parent().and_then(Path::parent)].into_iter().flatten() {
            sync_folder(changed)?;
        }
    }
    Ok((given_up, slot))
}

/// Marks the version in the free slot for its trial, with the copy of the database that goes with the version before it.
///
/// # Errors
/// What the file system answered; nothing is on trial then.
pub fn begin(folder: &Folder, slots: Slots, slot: Slot, candidate: &Candidate, before: Before) -> Result<Slots, SlotError> {
    match &before.backup {
        Some(backup) => keep_copy(backup, &folder.copy())?,
        // That of an earlier trial is none of this one.
        None => folder.remove_copy(),
    }
    point("the copy of the database is kept");
    let binary = Binary { slot, sha256: candidate.sha256.clone(), version: candidate.version.clone() };
    let trial = Trial {
        binary,
        starts: Starts::default(),
        total: 0,
        schema: before.schema,
        cloud: before.cloud,
        wish: before.wish,
        verdict: None,
    };
    let begun = slots.on_trial(trial);
    folder.store(&begun)?;
    Ok(begun)
}

/// How it is before a trial.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// The newest verified copy of the database, if there is a database.
    pub backup: Option<PathBuf>,
    /// Its schema version.
    pub schema: u32,
    /// Whether the cloud is reached.
    pub cloud: bool,
    /// The device variables that ask for it.
    pub wish: Option<String>,
}

/// Keeps a backup under a name of its own, for as long as the trial lasts: among the others it may be one too many.
///
/// # Errors
/// What the file system answered.
pub fn keep_copy(backup: &Path, copy: &Path) -> Result<(), SlotError> {
    let kept = match fs::remove_file(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::hard_link(backup, copy).or_else(|_| fs::copy(backup, copy).map(drop)),
    };
    kept.and_then(|()| File::open(copy)?.sync_all()).map_err(SlotError::io(copy, "the copy of the database cannot be kept"))?;
    sync_folder(copy.parent().unwrap_or(Path::new("/")))
}

/// Work on files, aside from the loop's only thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SlotError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SlotError::of("the new agent", error))
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(file) => write!(f, "{}", file.display()),
            Source::Url(text) => f.write_str(&shown_address(text)),
            Source::Image(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "#!/bin/sh\necho 'holdfast 9.9.9 (x)'\n";

    fn ground() -> (tempfile::TempDir, Ground) {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        let ground = Ground { folder, key: None, host_root: data.path().to_owned(), root_ca_pem: None, turn: Arc::default() };
        (data, ground)
    }

    fn job(file: &Path, sha256: Option<&str>) -> Job {
        let source = Source::File(file.to_owned());
        Job { source, sha256: sha256.map(str::to_owned), signature: None, wish: None, offline: false }
    }

    #[tokio::test]
    async fn a_file_takes_the_free_slot_and_is_on_trial() {
        let (data, ground) = ground();
        let file = data.path().join("given");
        fs::write(&file, AGENT).unwrap();
        let candidate = obtain(&ground, &job(&file, None), Slot::A).await.unwrap();
        assert_eq!(candidate.version, "9.9.9");
        let (slots, slot) = put(&ground.folder, Slots::default(), &candidate).unwrap();
        assert_eq!(slot, Slot::A);
        let backup = data.path().join("backup");
        fs::write(&backup, "database").unwrap();
        let before = Before { backup: Some(backup.clone()), schema: 2, cloud: true, wish: None };
        let begun = begin(&ground.folder, slots, slot, &candidate, before).unwrap();
        fs::remove_file(&backup).unwrap();
        assert_eq!(fs::read_to_string(ground.folder.copy()).unwrap(), "database");
        assert_eq!(ground.folder.load().unwrap(), begun);
        assert!(ground.folder.examine(&begun.trial.unwrap().binary).is_ok());
        assert!(!ground.folder.new_binary().exists());
        // Asked for again by its checksum it is found where it lies.
        fs::remove_file(&file).unwrap();
        let again = obtain(&ground, &job(&file, Some(&candidate.sha256)), Slot::A).await.unwrap();
        assert_eq!(again.path, ground.folder.binary(Slot::A));
    }

    #[test]
    fn a_trial_without_a_copy_has_none_of_another_trial() {
        let (_data, ground) = ground();
        ground.folder.make().unwrap();
        fs::write(ground.folder.copy(), "of long ago").unwrap();
        let candidate = Candidate { path: ground.folder.binary(Slot::A), sha256: "x".into(), version: "1".into() };
        begin(&ground.folder, Slots::default(), Slot::A, &candidate, Before::default()).unwrap();
        assert!(!ground.folder.copy().exists());
    }

    #[tokio::test]
    async fn what_is_not_right_is_refused_and_leaves_nothing() {
        let (data, ground) = ground();
        let file = data.path().join("given");
        fs::write(&file, AGENT).unwrap();
        let wrong = obtain(&ground, &job(&file, Some(&"0".repeat(64))), Slot::A).await.unwrap_err();
        assert!(wrong.to_string().contains("its SHA-256 is"), "{wrong}");
        assert!(obtain(&ground, &job(Path::new("/nowhere"), None), Slot::A).await.is_err());
        fs::write(&file, "no program").unwrap();
        assert!(obtain(&ground, &job(&file, None), Slot::A).await.is_err());
        let plain = Job { source: Source::Url("http://127.0.0.1:9/h".into()), ..job(&file, None) };
        assert!(obtain(&ground, &plain, Slot::A).await.unwrap_err().message.contains("--sha256"));
        assert!(!ground.folder.new_binary().exists() && !ground.folder.binary(Slot::A).exists());
    }

    #[tokio::test]
    async fn a_refused_request_leaves_the_way_back() {
        let (data, mut ground) = ground();
        ground.folder.make().unwrap();
        fs::write(ground.folder.binary(Slot::A), AGENT).unwrap();
        let sum = file_sha256(&ground.folder.binary(Slot::A)).unwrap();
        let key = data.path().join("update.pub");
        fs::write(&key, "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap();
        ground.key = Some(key);
        let unsigned = job(Path::new("/nowhere"), Some(&sum));
        assert!(obtain(&ground, &unsigned, Slot::A).await.unwrap_err().message.contains("only what is signed"));
        // Not even asked for over the network.
        let far = Job { source: Source::Url("https://127.0.0.1:9/h".into()), sha256: None, ..unsigned.clone() };
        assert!(obtain(&ground, &far, Slot::A).await.unwrap_err().message.contains("only what is signed"));
        let wrongly = Job { signature: Some(vec![1; 64]), ..unsigned };
        assert!(obtain(&ground, &wrongly, Slot::A).await.unwrap_err().message.contains("its signature"));
        assert!(ground.folder.binary(Slot::A).exists(), "it is the version before");
    }

    #[tokio::test]
    async fn nobody_begins_while_another_file_is_examined() {
        let (data, ground) = ground();
        let file = data.path().join("given");
        fs::write(&file, AGENT).unwrap();
        let examined = ground.turn.clone().lock_owned().await;
        let job = job(&file, None);
        let mut next = Box::pin(obtain(&ground, &job, Slot::A));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut next).await.is_err());
        assert!(!ground.folder.new_binary().exists());
        drop(examined);
        assert!(next.await.is_ok());
    }

    #[tokio::test]
    async fn only_a_plain_file_of_an_agents_size_is_copied() {
        let (data, ground) = ground();
        ground.folder.make().unwrap();
        for other in ["/dev/zero", "/"] {
            let refused = obtain(&ground, &job(Path::new(other), None), Slot::A).await.unwrap_err();
            assert!(refused.message.contains("no regular file"), "{refused}");
        }
        let file = data.path().join("given");
        File::create(&file).unwrap().set_len(download::LARGEST_BYTES + 1).unwrap();
        assert!(obtain(&ground, &job(&file, None), Slot::A).await.is_err());
        // A download that broke off is not carried on with what is copied now.
        fs::write(&file, AGENT).unwrap();
        fs::write(ground.folder.download_note(), "https://x/h\n\"tag\"\n").unwrap();
        assert!(obtain(&ground, &job(&file, None), Slot::A).await.is_ok());
        assert!(!ground.folder.download_note().exists());
    }

    #[test]
    fn the_version_before_is_given_up_before_its_slot_is_taken() {
        let (data, ground) = ground();
        ground.folder.make().unwrap();
        let path = data.path().join("agent/new");
        fs::write(&path, AGENT).unwrap();
        let binary = |slot: Slot| Binary { slot, sha256: "x".into(), version: "1".into() };
        let slots = Slots { kept: Some(binary(Slot::B)), previous: Some(binary(Slot::A)), ..Slots::default() };
        let candidate = Candidate { path, sha256: "y".into(), version: "2".into() };
        let (slots, slot) = put(&ground.folder, slots, &candidate).unwrap();
        assert_eq!((slot, &slots.previous), (Slot::A, &None));
        assert_eq!(ground.folder.load().unwrap(), slots);
    }
}
