//! The local API as clients of every kind reach it: the unix socket or TCP, connections that are kept, requests as bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::http::Response;

/// How the API is reached.
#[derive(Clone, Debug)]
pub enum Way {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// A stream of either kind.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Way {
    /// Connects; reads and writes give up after this long.
    pub fn connect(&self, limit: Duration) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Way::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                Box::new(stream)
            }
            Way::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, limit)?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }

    /// One request on a connection of its own; of an answer without an end only the head is read.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<Response> {
        let mut kept = Kept::new(self.connect(super::PATIENCE)?);
        kept.send(request_text(method, path, headers, body).as_bytes())?;
        kept.answer(method == "HEAD")
    }

    /// The same with a key, and it has to be answered.
    pub fn with_key(&self, method: &str, path: &str, key: &str, body: &str) -> Response {
        let header = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
        self.ask(method, path, &header, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

/// A request as text; every header ends its line.
pub fn request_text(method: &str, path: &str, headers: &str, body: &str) -> String {
    let kind = if body.starts_with('{') { "Content-Type: application/json\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A connection on which one request follows the other.
pub struct Kept(BufReader<Box<dyn Stream>>);

impl Kept {
    pub fn new(stream: Box<dyn Stream>) -> Kept {
        Kept(BufReader::with_capacity(64 * 1024, stream))
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// The next answer. One that is made while it is sent comes without its body.
    pub fn answer(&mut self, headless: bool) -> std::io::Result<Response> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let wrong = || std::io::Error::other(format!("no HTTP answer: {line:?}"));
        let status: u16 = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        let mut headers = std::collections::BTreeMap::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).filter(|_| !headless);
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        Ok(Response { status, headers, body })
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}
