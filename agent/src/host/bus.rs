//! The host's D-Bus, as much of it as a few method calls need: EXTERNAL authentication and calls with text and switches over
//! a unix socket. Everything that comes back is bounded in size and time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// For one call with everything before it. systemd answers at once; a hung one must not hold up the loop.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest message that is read, bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Messages of others that are passed over before the answer.
const MAX_MESSAGES: usize = 64;
/// The longest line of authentication, bytes.
const MAX_LINE: usize = 512;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const HELLO_SERIAL: u32 = 1;
const CALL_SERIAL: u32 = 2;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus cannot be reached or does not speak D-Bus.
    #[error("the host's D-Bus at {address}: {message}")]
    Away {
        /// Where it should be.
        address: String,
        /// What happened.
        message: String,
    },
    /// Whoever was called refuses.
    #[error("{method}: {name}: {message}")]
    Refused {
        /// What was called.
        method: String,
        /// Name of the error, `org.freedesktop.DBus.Error.…`.
        name: String,
        /// What it says.
        message: String,
    },
}

/// A method to call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Bus name.
    pub destination: &'a str,
    /// Object.
    pub path: &'a str,
    /// Interface.
    pub interface: &'a str,
    /// Method.
    pub member: &'a str,
    /// Arguments.
    pub arguments: &'a [Argument<'a>],
}

/// An argument.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// `s`
    Text(&'a str),
    /// `b`
    Switch(bool),
}

/// Calls a method and returns every text in its answer, in order.
///
/// # Errors
/// When the bus is away, or whoever is called refuses.
pub async fn call(address: &str, call: Call<'_>) -> Result<Vec<String>, BusError> {
    let away = |message: String| BusError::Away { address: address.to_owned(), message };
    let answer = tokio::time::timeout(LIMIT, exchange(address, call)).await;
    let answer = answer.map_err(|_| away(format!("no answer within {} s", LIMIT.as_secs())))?;
    match answer.map_err(|error| away(error.to_string()))? {
        Message { kind: ERROR, error, body, .. } => Err(BusError::Refused {
            method: format!("{}.{}", call.interface, call.member),
            name: error,
            message: body.into_iter().next().unwrap_or_default(),
        }),
        Message { body, .. } => Ok(body),
    }
}

async fn exchange(address: &str, call: Call<'_>) -> io::Result<Message> {
    let mut stream = UnixStream::connect(socket_path(address)?).await?;
    authenticate(&mut stream).await?;
    let hello = Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        arguments: &[],
    };
    stream.write_all(&[encode(HELLO_SERIAL, &hello), encode(CALL_SERIAL, &call)].concat()).await?;
    for _ in 0..MAX_MESSAGES {
        let message = read_message(&mut stream).await?;
        let refused = message.kind == ERROR && message.reply_to == HELLO_SERIAL;
        if refused || (matches!(message.kind, METHOD_RETURN | ERROR) && message.reply_to == CALL_SERIAL) {
            return Ok(message);
        }
    }
    Err(broken("it sends much and no answer"))
}

/// The socket of an address such as `unix:path=/run/dbus/system_bus_socket,guid=…`; of several, the first of this kind.
fn socket_path(address: &str) -> io::Result<String> {
    let places = address.split(';').filter_map(|place| place.trim().strip_prefix("unix:"));
    let path = places.flat_map(|place| place.split(',')).find_map(|pair| pair.strip_prefix("path="));
    path.map(unescape).ok_or_else(|| broken("only addresses of the kind unix:path=… are understood"))
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says who we are; the kernel vouches for it.
async fn authenticate(stream: &mut UnixStream) -> io::Result<()> {
    let uid = crate::settings::hex(rustix::process::geteuid().as_raw().to_string().as_bytes());
    stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).await?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE {
            return Err(broken("it does not speak D-Bus"));
        }
        line.push(stream.read_u8().await?);
    }
    if !line.starts_with(b"OK ") {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not let this user in"));
    }
    stream.write_all(b"BEGIN\r\n").await
}

fn broken(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

// ---- what is sent

struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    #[allow(clippy::cast_possible_truncation, reason = "texts of ours are short")]
    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    #[allow(clippy::cast_possible_truncation, reason = "signatures of ours are a few letters")]
    fn signature(&mut self, signature: &str) {
        self.0.push(signature.len() as u8);
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    /// One header field: its code and a variant.
    fn field(&mut self, code: u8, kind: &str, value: &str) {
        self.align(8);
        self.0.push(code);
        self.signature(kind);
        if kind == "g" { self.signature(value) } else { self.text(value) }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "messages of ours are short")]
fn encode(serial: u32, call: &Call<'_>) -> Vec<u8> {
    let mut body = Writer(Vec::new());
    let mut signature = String::new();
    for argument in call.arguments {
        match argument {
            Argument::Text(text) => {
                signature.push('s');
                body.text(text);
            }
            Argument::Switch(on) => {
                signature.push('b');
                body.number(u32::from(*on));
            }
        }
    }
    let mut head = Writer(vec![b'l', METHOD_CALL, 0, 1]);
    head.number(body.0.len() as u32);
    head.number(serial);
    head.number(0);
    let fields_at = head.0.len();
    for (code, kind, value) in
        [(1, "o", call.path), (2, "s", call.interface), (3, "s", call.member), (6, "s", call.destination), (8, "g", &signature)]
    {
        if !value.is_empty() {
            head.field(code, kind, value);
        }
    }
    let length = (head.0.len() - fields_at) as u32;
    head.0[fields_at - 4..fields_at].copy_from_slice(&length.to_le_bytes());
    head.align(8);
    [head.0, body.0].concat()
}

// ---- what comes back

/// A message, as far as it matters.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    reply_to: u32,
    error: String,
    /// Every text in it.
    body: Vec<String>,
}

async fn read_message(stream: &mut UnixStream) -> io::Result<Message> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    // Everybody on the host writes in the host's own byte order, and every device has this one.
    if head[0] != b'l' || head[3] != 1 {
        return Err(broken("a message of an unknown kind"));
    }
    let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let (body, fields) = (length(4), length(12));
    let whole = fields.next_multiple_of(8).checked_add(body).filter(|whole| *whole <= MAX_MESSAGE);
    let mut rest = vec![0; whole.ok_or_else(|| broken("a message that is too large"))?];
    stream.read_exact(&mut rest).await?;
    let mut message = Message { kind: head[1], ..Message::default() };
    let mut signature = String::new();
    let mut reader = Reader { bytes: &rest[..fields], at: 0 };
    while reader.at < fields {
        reader.align(8)?;
        let code = reader.byte()?;
        let kind = reader.signature()?;
        let mut texts = Vec::new();
        match (code, kind.as_str()) {
            (5, "u") => message.reply_to = reader.number()?,
            (8, "g") => signature = reader.signature()?,
            (_, kind) => reader.texts(kind, &mut texts, 0)?,
        }
        if code == 4 {
            message.error = texts.pop().unwrap_or_default();
        }
    }
    let mut reader = Reader { bytes: &rest[fields.next_multiple_of(8)..], at: 0 };
    if matches!(message.kind, METHOD_RETURN | ERROR) {
        reader.texts(&signature, &mut message.body, 0)?;
    }
    Ok(message)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or_else(|| broken("a cut message"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> io::Result<()> {
        let gap = self.at.next_multiple_of(to) - self.at;
        self.take(gap).map(|_| ())
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> io::Result<u32> {
        self.align(4)?;
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    /// Collects the texts of values of these types: texts, paths, numbers of four bytes, lists of texts, and variants of
    /// them. What else there is ends the reading: nobody here asks for it.
    fn texts(&mut self, signature: &str, texts: &mut Vec<String>, depth: u8) -> io::Result<()> {
        let mut rest = signature;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                's' | 'o' => {
                    let length = self.number()? as usize;
                    let text = self.text(length)?;
                    texts.push(text);
                }
                'u' | 'i' | 'b' => {
                    self.number()?;
                }
                'y' => {
                    self.byte()?;
                }
                'g' => {
                    self.signature()?;
                }
                'v' if depth < 4 => {
                    let kind = self.signature()?;
                    self.texts(&kind, texts, depth + 1)?;
                }
                'a' if rest.starts_with(['s', 'o']) => {
                    rest = &rest[1..];
                    let length = self.number()? as usize;
                    let end = self.at.saturating_add(length);
                    while self.at < end {
                        self.texts("s", texts, depth)?;
                    }
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
