//! Packs files that the agent serves as they are: on a device they would take several times the room.

use std::fs::File;
use std::io::{Error, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// The files, from this folder. Each is found under its own name with `.deflate` among the build's output.
const PACKED: [&str; 1] = ["src/api/openapi/openapi.json"];

fn main() -> Result<(), Error> {
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo says where the output goes"))?;
    println!("cargo::rerun-if-changed=build.rs");
    for file in PACKED {
        println!("cargo::rerun-if-changed={file}");
        let name = file.rsplit('/').next().unwrap_or(file);
        let packed = Path::new(&out).join(format!("{name}.deflate"));
        let mut encoder = DeflateEncoder::new(File::create(packed)?, Compression::best());
        encoder.write_all(&minified(file)?)?;
        encoder.finish()?;
    }
    Ok(())
}

/// JSON is checked in for people; without its blanks it is smaller.
fn minified(file: &str) -> Result<Vec<u8>, Error> {
    let text = std::fs::read(file)?;
    if !file.ends_with(".json") {
        return Ok(text);
    }
    let (mut small, mut in_text, mut escaped) = (Vec::with_capacity(text.len()), false, false);
    for byte in text {
        if in_text || !byte.is_ascii_whitespace() {
            small.push(byte);
        }
        in_text ^= byte == b'"' && !escaped;
        escaped = in_text && byte == b'\\' && !escaped;
    }
    Ok(small)
}
