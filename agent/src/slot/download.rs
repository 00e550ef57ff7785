//! Downloads a binary, and carries on where an earlier attempt was cut off.
//!
//! What is there so far lies beside a note of where it came from and which content that was (its ETag or date): only when
//! the server still has the same does it send the rest. Whether the whole is right is for its checksum to say.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::timeout;

use super::error::{SlotError, shown_address};
use super::folder::Folder;
use super::point;
use crate::http::chain;

/// A larger file is no agent, bytes.
pub(super) const LARGEST_BYTES: u64 = 48 * 1024 * 1024;
/// Room that stays free on the data partition, bytes: the database goes on being written.
const SPARED_BYTES: u64 = 8 * 1024 * 1024;
/// Longest time for the head of an answer, and longest silence within its body.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest download.
const WHOLE: Duration = Duration::from_secs(3 * 3600);
/// So many addresses a server may send us on to.
const REDIRECTIONS: usize = 5;

/// Downloads `url` into the folder's new binary; durable when it returns. `known`: what the whole has to be is known, so that
/// an earlier attempt's part may be carried on.
pub(super) async fn download(client: &Client, url: &str, folder: &Folder, known: bool) -> Result<(), SlotError> {
    match timeout(WHOLE, attempt(client, url, folder, known)).await {
        Ok(done) => done,
        Err(_) => Err(SlotError::of(url, format_args!("the download took longer than {} h", WHOLE.as_secs() / 3600))),
    }
}

async fn attempt(client: &Client, url: &str, folder: &Folder, known: bool) -> Result<(), SlotError> {
    let path = folder.new_binary();
    let part = fs::metadata(&path).map_or(0, |file| file.len());
    let note_of = |file: &Path| fs::read_to_string(file).ok().and_then(|note| mark_of(&note, url));
    let mark = (known && part > 0).then(|| note_of(&folder.download_note())).flatten();
    let response = ask(client, url, mark.as_deref().map(|mark| (part, mark))).await?;
    let from = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if begins_at(response.headers()) == Some(part) => part,
        other => {
            // A part that the server cannot add to is of no use.
            let _ = fs::remove_file(folder.download_note());
            return Err(SlotError::of(url, format_args!("the server answered {other}")));
        }
    };
    let length = response.content_length().unwrap_or(0);
    room(&path, from + length, length)?;
    let mut file = open(&path, from)?;
    // Only now that nothing of another content is there any more.
    if from == 0 {
        note(folder, url, response.headers())?;
    } else {
        log::info!("{}: carrying on after {from} bytes", shown_address(url));
    }
    receive(response, url, (&path, &mut file), from).await.inspect_err(|error| {
        // Half a file on a full disk is in everybody's way, and one that is too large is never carried on.
        if error.refused {
            forget(folder);
        }
    })?;
    file.sync_all().map_err(SlotError::io(&path, "it cannot be made durable"))?;
    let _ = fs::remove_file(folder.download_note());
    Ok(())
}

/// Gives up what was downloaded so far, if anything was.
pub(super) fn forget(folder: &Folder) {
    for file in [folder.new_binary(), folder.download_note()] {
        // What is not there is not in the way.
        let _ = fs::remove_file(file);
    }
}

const FULL: &str = "no room";

async fn receive(
    mut response: Response,
    url: &str,
    (path, file): (&Path, &mut File),
    mut received: u64,
) -> Result<(), SlotError> {
    let mut first = true;
    loop {
        let piece = timeout(SILENCE, response.chunk()).await;
        let piece = piece.map_err(|_| SlotError::of(url, format_args!("nothing came for {} s", SILENCE.as_secs())))?;
        let piece = piece.map_err(|error| {
            SlotError::of(url, format_args!("it broke off after {received} bytes ({})", chain(&error.without_url())))
        })?;
        let Some(piece) = piece else { return Ok(()) };
        received += piece.len() as u64;
        if received > LARGEST_BYTES {
            return Err(SlotError::refused(url, format_args!("it is larger than {LARGEST_BYTES} bytes and is no agent")));
        }
        // Who does not say how much it is does not get the room that is spared either.
        room(path, received, piece.len() as u64).map_err(|error| SlotError { refused: true, ..error })?;
        file.write_all(&piece).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => SlotError::refused(url, format_args!("{FULL} on the data partition ({error})")),
            _ => SlotError::of(url, format_args!("it cannot be written ({error})")),
        })?;
        if std::mem::take(&mut first) {
            point("the download has begun");
        }
    }
}

/// Asks for the file, or for what is missing of it, following redirections: no secret goes along with this request.
async fn ask(client: &Client, url: &str, have: Option<(u64, &str)>) -> Result<Response, SlotError> {
    let wrong = |why: &dyn std::fmt::Display| SlotError::of(url, why);
    let mut at: Url = url.parse().map_err(|error| wrong(&format_args!("it is no address ({error})")))?;
    for _ in 0..=REDIRECTIONS {
        // Packed on the way, parts of it would not be parts of the file.
        let mut request = client.get(at.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some((part, mark)) = have {
            request = request.header(RANGE, format!("bytes={part}-")).header(IF_RANGE, mark);
        }
        let answered = timeout(SILENCE, request.send()).await;
        let answered = answered.map_err(|_| wrong(&format_args!("no answer within {} s", SILENCE.as_secs())))?;
        let response = answered.map_err(|error| wrong(&chain(&error.without_url())))?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let next = response.headers().get(LOCATION).and_then(|place| place.to_str().ok()).and_then(|place| at.join(place).ok());
        let next = next.ok_or_else(|| wrong(&"it leads on to nowhere"))?;
        if at.scheme() == "https" && next.scheme() != "https" {
            return Err(wrong(&format_args!("it leads on to {}, which is not protected", shown_address(next.as_str()))));
        }
        at = next;
    }
    Err(wrong(&format_args!("it leads on more than {REDIRECTIONS} times")))
}

/// Writes down what is being downloaded, where the server says how to tell it from another content.
fn note(folder: &Folder, url: &str, headers: &HeaderMap) -> Result<(), SlotError> {
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    // A weak tag may stand for content that differs.
    let mark = text(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(LAST_MODIFIED));
    let path = folder.download_note();
    match mark {
        Some(mark) => fs::write(&path, format!("{url}\n{mark}\n")).map_err(SlotError::io(&path, "it cannot be written")),
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SlotError::io(&path, "it cannot be removed")(error)),
            _ => Ok(()),
        },
    }
}

/// How the content of `url` is told, by a note about it.
fn mark_of(note: &str, url: &str) -> Option<String> {
    let (of, mark) = note.strip_suffix('\n')?.split_once('\n')?;
    (of == url && !mark.is_empty()).then(|| mark.to_owned())
}

/// Where a part begins (`bytes 100-199/200`).
fn begins_at(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Refuses what would fill the data partition.
pub(super) fn room(path: &Path, whole: u64, still: u64) -> Result<(), SlotError> {
    if whole > LARGEST_BYTES {
        return Err(SlotError::file(path, format_args!("{whole} bytes are more than an agent has")));
    }
    let place = path.parent().unwrap_or(Path::new("/"));
    let Ok(stat) = rustix::fs::statvfs(place) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < still.saturating_add(SPARED_BYTES) {
        return Err(SlotError::file(path, format_args!("{FULL}: it takes {still} bytes and {free} are free; free some space")));
    }
    Ok(())
}

fn open(path: &Path, from: u64) -> Result<File, SlotError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o700);
    if from == 0 {
        options.truncate(true)
    } else {
        options.append(true)
    };
    options.open(path).map_err(SlotError::io(path, "it cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_of_one_address() {
        assert_eq!(mark_of("https://x/h\n\"tag\"\n", "https://x/h").as_deref(), Some("\"tag\""));
        assert_eq!(mark_of("https://x/h\n\"tag\"\n", "https://x/i"), None);
        for torn in ["", "https://x/h", "https://x/h\n", "https://x/h\n\"ta"] {
            assert_eq!(mark_of(torn, "https://x/h"), None, "{torn}");
        }
    }

    #[test]
    fn parts_have_to_begin_where_ours_ends() {
        let at = |text: &str| begins_at(&HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]));
        assert_eq!(at("bytes 100-199/200"), Some(100));
        assert_eq!((at("bytes */200"), at("100-199"), begins_at(&HeaderMap::new())), (None, None, None));
    }

    #[test]
    fn what_is_too_large_is_not_begun() {
        let folder = tempfile::tempdir().unwrap();
        assert!(room(&folder.path().join("new"), LARGEST_BYTES + 1, 1).is_err());
        assert!(room(&folder.path().join("new"), 1000, u64::MAX / 2).unwrap_err().message.contains("free some space"));
        assert!(room(&folder.path().join("new"), 1000, 1).is_ok());
    }

    /// A server that answers each request with this head, then with pieces of this length without an end.
    fn endless(head: &'static str, piece: usize) -> String {
        use std::io::Read;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let mut piece = vec![b'x'; piece];
            if head.contains("chunked") {
                piece = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            }
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).unwrap();
            while stream.write_all(&piece).is_ok() {}
        });
        format!("http://{address}/h?sig=secret")
    }

    #[tokio::test]
    async fn a_part_is_carried_on_only_where_the_whole_can_be_checked() {
        use std::io::Read;
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        folder.make().unwrap();
        let client = client(data.path());
        for (known, asked, there) in [(true, true, "oldnew"), (false, false, "new")] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/h", listener.local_addr().unwrap());
            fs::write(folder.new_binary(), "old").unwrap();
            fs::write(folder.download_note(), format!("{url}\n\"t\"\n")).unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, mut request) = (listener.accept().unwrap().0, [0; 4096]);
                let length = stream.read(&mut request).unwrap();
                let ranged = String::from_utf8_lossy(&request[..length]).to_ascii_lowercase().contains("range: bytes=3-");
                let status = if ranged { "206 x\r\nContent-Range: bytes 3-5/6" } else { "200 x" };
                stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nnew").as_bytes()).unwrap();
                ranged
            });
            download(&client, &url, &folder, known).await.unwrap();
            assert_eq!((server.join().unwrap(), fs::read_to_string(folder.new_binary()).unwrap()), (asked, there.to_owned()));
            assert!(!folder.download_note().exists());
        }
    }

    fn client(host_root: &Path) -> Client {
        let options = crate::http::Options { user_agent: "test", connect_timeout: Duration::from_secs(30), proxy: false };
        crate::http::client(crate::http::tls(host_root, None).unwrap(), &options).unwrap()
    }

    #[tokio::test]
    async fn what_never_ends_is_broken_off_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        folder.make().unwrap();
        let client = client(data.path());
        for head in ["Transfer-Encoding: chunked\r\nETag: \"t\"", "ETag: \"t\"\r\nConnection: close"] {
            let error = download(&client, &endless(head, 1 << 20), &folder, true).await.unwrap_err().to_string();
            assert!(error.contains("it is larger than") && !error.contains("secret"), "{error}");
            assert!(!folder.new_binary().exists() && !folder.download_note().exists());
        }
        let error = download(&client, &endless("Content-Length: 99999999999", 1), &folder, true).await.unwrap_err().to_string();
        assert!(error.contains("more than an agent has"), "{error}");
        assert!(!folder.new_binary().exists());
    }
}
