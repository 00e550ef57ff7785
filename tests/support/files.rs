//! A server of files over HTTP, with parts on request, that can be made to break off.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    /// Bytes after which each answer breaks off, for so many answers.
    break_off: Option<(usize, usize)>,
    /// The `Range` of each request.
    ranges: Vec<Option<String>>,
}

/// The server. It ends with the test's process.
pub struct Files {
    port: u16,
    shelf: Arc<Mutex<Shelf>>,
}

impl Files {
    pub fn serve() -> Files {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has an address").port();
        let shelf = Arc::<Mutex<Shelf>>::default();
        let shared = shelf.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = shared.clone();
                std::thread::spawn(move || answer(&stream, &shelf));
            }
        });
        Files { port, shelf }
    }

    /// Puts a file there and returns its address.
    pub fn put(&self, name: &str, content: Vec<u8>) -> String {
        self.shelf.lock().expect("whole").files.insert(format!("/{name}"), content);
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// The next answers break off after so many bytes.
    pub fn break_off(&self, after: usize, times: usize) {
        self.shelf.lock().expect("whole").break_off = Some((after, times));
    }

    /// The `Range` of each request so far.
    pub fn ranges(&self) -> Vec<Option<String>> {
        self.shelf.lock().expect("whole").ranges.clone()
    }
}

fn answer(stream: &TcpStream, shelf: &Mutex<Shelf>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())))
        .collect();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut out = stream;
    let mut held = shelf.lock().expect("whole");
    held.ranges.push(headers.get("range").cloned());
    let Some(content) = held.files.get(path).cloned() else {
        let _ = out.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    let broken = held.break_off.filter(|(_, times)| *times > 0).map(|(after, times)| {
        held.break_off = Some((after, times - 1));
        after
    });
    drop(held);
    let tag = format!("\"{}-{}\"", path.trim_start_matches('/'), content.len());
    let from = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = from.filter(|from| *from < content.len() && headers.get("if-range") == Some(&tag));
    let (status, range) = match from {
        None => ("200 OK", String::new()),
        Some(from) => ("206 Partial Content", format!("content-range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len())),
    };
    let body = &content[from.unwrap_or(0)..];
    let head = format!("HTTP/1.1 {status}\r\netag: {tag}\r\n{range}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = out.write_all(head.as_bytes());
    let _ = out.write_all(&body[..broken.unwrap_or(body.len()).min(body.len())]);
}
