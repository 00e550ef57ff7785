//! Packs files that the agent serves as they are: on a device they would take several times the room.

use std::fs::File;
use std::io::{Error, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

/// The files, from this folder. Each is found under its own name with `.deflate` among the build's output.
const PACKED: [&str; 1] = ["src/api/openapi/openapi.json"];

/// The page of the local API, and what is put into it: the style, and the parts of the script in their order.
const PAGE: &str = "src/api/page";
const SCRIPT: [&str; 8] = ["dom", "words", "agent", "picture", "figures", "logs", "actions", "start"];

fn main() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=build.rs");
    for file in PACKED {
        println!("cargo::rerun-if-changed={file}");
        let name = file.rsplit('/').next().unwrap_or(file);
        let mut encoder = DeflateEncoder::new(File::create(output(&format!("{name}.deflate"))?)?, Compression::best());
        encoder.write_all(&minified(file)?)?;
        encoder.finish()?;
    }
    let mut encoder = GzEncoder::new(File::create(output("page.html.gz")?)?, Compression::best());
    encoder.write_all(page()?.as_bytes())?;
    encoder.finish()?;
    Ok(())
}

/// Where the build's output goes.
fn output(name: &str) -> Result<PathBuf, Error> {
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo says where the output goes"))?;
    Ok(Path::new(&out).join(name))
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

/// The page in one piece.
fn page() -> Result<String, Error> {
    println!("cargo::rerun-if-changed={PAGE}");
    let read = |name: &str| std::fs::read_to_string(Path::new(PAGE).join(name));
    let mut script = String::new();
    for part in SCRIPT {
        script.push_str(&bare(&read(&format!("script/{part}.js"))?));
    }
    let mut page = bare(&read("page.html")?);
    for (place, content) in [("/* style */", bare(&read("style.css")?)), ("/* script */", script)] {
        if !page.contains(place) || content.contains("</s") {
            return Err(Error::other(format!("{PAGE}: {place} has no place in the page, or its content would end there")));
        }
        page = page.replacen(place, &content, 1);
    }
    Ok(page)
}

/// A text without what only people read: indents, empty lines, and lines that are nothing but a comment.
fn bare(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| {
        let is_note = line.starts_with("/* ") && line.ends_with(" */") && !line.contains('{');
        !line.is_empty() && !line.starts_with("//") && !is_note
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}
