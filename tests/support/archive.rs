//! A root file system as a tar stream: a static busybox, names for it, and one file that makes the layer unique.

/// Names under which the busybox is called.
const NAMES: &[&str] = &[
    "sh", "cat", "chmod", "chown", "echo", "env", "false", "grep", "head", "httpd", "kill", "ln", "ls", "mkdir", "rm", "sleep",
    "test", "touch", "true", "wget",
];

/// The archive of an image whose content differs for every `variant`, with so many bytes of noise in it.
pub fn root_file_system(variant: &str, ballast_bytes: usize) -> Vec<u8> {
    let busybox =
        std::fs::read("/bin/busybox").or_else(|_| std::fs::read("/usr/bin/busybox")).expect("busybox-static is installed");
    let mut tar = Vec::with_capacity(busybox.len() + ballast_bytes + 64 * 1024);
    for folder in ["bin/", "tmp/", "www/"] {
        entry(&mut tar, folder, b'5', 0o755, "", &[]);
    }
    entry(&mut tar, "bin/busybox", b'0', 0o755, "", &busybox);
    for name in NAMES {
        entry(&mut tar, &format!("bin/{name}"), b'2', 0o777, "busybox", &[]);
    }
    entry(&mut tar, "variant", b'0', 0o644, "", variant.as_bytes());
    entry(&mut tar, "www/index.html", b'0', 0o644, "", variant.as_bytes());
    if ballast_bytes > 0 {
        entry(&mut tar, "ballast", b'0', 0o644, "", &noise(variant, ballast_bytes));
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Bytes that no packer makes fewer, the same for the same text.
fn noise(text: &str, bytes: usize) -> Vec<u8> {
    let mut state = text.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| state.rotate_left(9) ^ u64::from(byte)) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

/// Appends one member in the ustar format.
fn entry(tar: &mut Vec<u8>, name: &str, kind: u8, mode: u32, link: &str, content: &[u8]) {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}
