//! Servers that answer what a test wants: an engine on a unix socket, a cloud on a port.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

/// What is answered to a method and path: status, more headers, body.
pub type Answers = Arc<dyn Fn(&str) -> (u16, String, String) + Send + Sync>;

fn serve(mut stream: impl Read + Write, answers: &Answers) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let line = String::from_utf8_lossy(&request);
    let asked: String = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let (status, headers, body) = answers(&asked);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// Answers on a unix socket until the test's process ends.
pub fn on_socket(path: &Path, answers: Answers) {
    let listener = UnixListener::bind(path).expect("the socket can be made");
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &answers)));
}

/// Answers on a port of this machine; returns it.
pub fn on_port(answers: Answers) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &answers)));
    port
}

/// An engine with these containers, each as its description, and the rest of its API.
pub fn engine(path: &Path, containers: Vec<Value>, info: Value) {
    let list: Vec<Value> = (0..containers.len()).map(|at| json!({ "Id": format!("c{at}") })).collect();
    let list = Value::Array(list).to_string();
    let answers = move |asked: &str| {
        let body = match asked.strip_prefix("GET ").unwrap_or(asked) {
            "/version" => json!({ "Version": "20.10.24", "ApiVersion": "1.41" }),
            "/info" => info.clone(),
            "/containers/json?all=1" => return (200, String::new(), list.clone()),
            "/images/json" => json!([{ "Id": "sha256:1", "Labels": { "com.example.note": info["Note"] } }]),
            "/networks" => json!([{ "Name": "n", "Labels": { "com.example.note": info["Note"] }, "Options": {} }]),
            "/volumes" => json!({ "Volumes": [{ "Name": "v", "Options": { "o": info["Options"] } }] }),
            path => {
                let at = path.strip_prefix("/containers/c").and_then(|rest| rest.strip_suffix("/json"));
                match at.and_then(|at| at.parse::<usize>().ok()).and_then(|at| containers.get(at)) {
                    Some(container) => container.clone(),
                    None => return (404, String::new(), r#"{"message":"no such thing"}"#.to_owned()),
                }
            }
        };
        (200, String::new(), body.to_string())
    };
    on_socket(path, Arc::new(answers));
}
