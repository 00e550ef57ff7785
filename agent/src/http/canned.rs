//! A tiny HTTP/1 server of canned answers for tests of the real client: one answer for each connection, in order.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One answer.
#[derive(Clone, Debug)]
pub struct Canned {
    head: String,
    body: Vec<u8>,
    /// Bytes of the body that are sent before the connection is closed; `None` sends all.
    cut: Option<usize>,
    before_head: Duration,
    within_body: Duration,
}

impl Canned {
    /// An answer with this status line's end, for example `200 OK`, and body.
    pub fn new(status: &str, body: impl Into<Vec<u8>>) -> Canned {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
        Canned { head, body: body.into(), cut: None, before_head: Duration::ZERO, within_body: Duration::ZERO }
    }

    pub fn header(mut self, name: &str, value: &str) -> Canned {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub fn cut_after(mut self, bytes: usize) -> Canned {
        self.cut = Some(bytes);
        self
    }

    pub fn wait_before_head(mut self, wait: Duration) -> Canned {
        self.before_head = wait;
        self
    }

    /// Waits in the middle of the body.
    pub fn wait_within_body(mut self, wait: Duration) -> Canned {
        self.within_body = wait;
        self
    }

    async fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        tokio::time::sleep(self.before_head).await;
        let head = format!("{}content-length: {}\r\n\r\n", self.head, self.body.len());
        stream.write_all(head.as_bytes()).await?;
        let body = &self.body[..self.cut.unwrap_or(self.body.len())];
        let (first, second) = body.split_at(body.len() / 2);
        stream.write_all(first).await?;
        tokio::time::sleep(self.within_body).await;
        stream.write_all(second).await?;
        stream.shutdown().await
    }
}

/// The server; its task ends with the runtime of the test.
pub struct Server {
    /// Where it listens, as a base address.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server on a free port; more requests than answers are closed without one.
    pub async fn start(answers: Vec<Canned>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                let _ = answer.send(&mut stream).await;
            }
        });
        Server { address, requests }
    }

    /// Heads and bodies of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let n = stream.read(&mut piece).await.unwrap_or(0);
        request.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let complete = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            body.len() >= length.unwrap_or(0)
        });
        if n == 0 || complete {
            return text;
        }
    }
}

/// A gzip file of a text, not made smaller.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut file = gzip_head();
    let length = u16::try_from(text.len()).unwrap();
    file.push(1);
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&(!length).to_le_bytes());
    file.extend_from_slice(text);
    file.extend_from_slice(&crc32(text).to_le_bytes());
    file.extend_from_slice(&u32::from(length).to_le_bytes());
    file
}

/// The beginning of a gzip file that unpacks to `n` × 258 zero bytes: one literal and then repetitions of it.
pub fn gzip_bomb(n: usize) -> Vec<u8> {
    // A final block with fixed codes; the literal 0; each repetition is length 258 (1100_0101), distance 1 (0_0000).
    let mut bits: Vec<bool> = vec![true, true, false];
    bits.extend([false, false, true, true, false, false, false, false]);
    for _ in 0..n {
        bits.extend([true, true, false, false, false, true, false, true, false, false, false, false, false]);
    }
    let mut file = gzip_head();
    file.extend(bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0_u8, |sum, (i, bit)| sum | (u8::from(*bit) << i))));
    file
}

fn gzip_head() -> Vec<u8> {
    vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
}

fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
