//! A static program of a few hundred bytes, hand-assembled, as content for images: it waits for SIGTERM and exits with 0.
//!
//! A container's first process gets no default action for signals, so a program that merely pauses would sit out its grace
//! period on every stop. This one blocks SIGTERM and waits for it with `rt_sigtimedwait`, which needs no handler.

/// A machine the program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM with the EABI.
    Armv7,
}

impl Machine {
    /// The machine this binary was built for; `None` where the program does not exist.
    pub fn own() -> Option<Machine> {
        Machine::from_name(std::env::consts::ARCH)
    }

    /// Reads the name an engine (`amd64`, `arm64`, `arm`) or a kernel (`x86_64`, `aarch64`, `armv7l`) gives.
    pub fn from_name(name: &str) -> Option<Machine> {
        match name {
            "amd64" | "x86_64" => Some(Machine::X86_64),
            "arm64" | "aarch64" => Some(Machine::Aarch64),
            "arm" | "armv7" | "armv7l" | "armhf" => Some(Machine::Armv7),
            _ => None,
        }
    }

    /// The architecture in the words of an image configuration, with its variant.
    pub fn architecture(self) -> (&'static str, Option<&'static str>) {
        match self {
            Machine::X86_64 => ("amd64", None),
            Machine::Aarch64 => ("arm64", Some("v8")),
            Machine::Armv7 => ("arm", Some("v7")),
        }
    }

    /// `e_machine` of the ELF header.
    fn elf_number(self) -> u16 {
        match self {
            Machine::X86_64 => 62,
            Machine::Aarch64 => 183,
            Machine::Armv7 => 40,
        }
    }

    fn code(self) -> &'static [u8] {
        match self {
            Machine::X86_64 => &X86_64,
            Machine::Aarch64 => &AARCH64,
            Machine::Armv7 => &ARMV7,
        }
    }
}

/// Where the one segment is loaded.
const LOAD_ADDRESS: u32 = 0x40_0000;

/// Alignment of the segment: the largest page any of the machines uses.
const PAGE_BYTES: u32 = 0x1_0000;

/// The program as an ELF file.
pub fn elf(machine: Machine) -> Vec<u8> {
    match machine {
        Machine::Armv7 => elf32(machine),
        Machine::X86_64 | Machine::Aarch64 => elf64(machine),
    }
}

fn elf64(machine: Machine) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    let code = machine.code();
    let size = HEADERS + code.len() as u64;
    let base = u64::from(LOAD_ADDRESS);
    let mut out = identification(2);
    push16(&mut out, &[2, machine.elf_number()]);
    push32(&mut out, &[1]);
    push64(&mut out, &[base + HEADERS, 64, 0]);
    push32(&mut out, &[0]);
    push16(&mut out, &[64, 56, 1, 64, 0, 0]);
    // One loadable segment, readable and executable, that covers the whole file.
    push32(&mut out, &[1, 5]);
    push64(&mut out, &[0, base, base, size, size, u64::from(PAGE_BYTES)]);
    out.extend_from_slice(code);
    out
}

fn elf32(machine: Machine) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    /// EABI version 5.
    const FLAGS: u32 = 0x0500_0000;
    let code = machine.code();
    let size = HEADERS + u32::try_from(code.len()).unwrap_or(0);
    let mut out = identification(1);
    push16(&mut out, &[2, machine.elf_number()]);
    push32(&mut out, &[1, LOAD_ADDRESS + HEADERS, 52, 0, FLAGS]);
    push16(&mut out, &[52, 32, 1, 40, 0, 0]);
    push32(&mut out, &[1, 0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 5, PAGE_BYTES]);
    out.extend_from_slice(code);
    out
}

/// The first 16 bytes: little endian, version 1, System V.
fn identification(class: u8) -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', class, 1, 1];
    out.resize(16, 0);
    out
}

fn push16(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

fn push32(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

fn push64(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

/// `rt_sigprocmask(SIG_BLOCK, set)`; `rt_sigtimedwait(set)` until it says 15; `exit(0)`; the signal set.
#[rustfmt::skip]
const X86_64: [u8; 72] = [
    0xb8, 14, 0, 0, 0,              // mov eax, rt_sigprocmask
    0x31, 0xff,                     // xor edi, edi
    0x48, 0x8d, 0x35, 0x32, 0, 0, 0, // lea rsi, [set]
    0x31, 0xd2,                     // xor edx, edx
    0x41, 0xba, 8, 0, 0, 0,         // mov r10d, 8
    0x0f, 0x05,                     // syscall
    0xb8, 128, 0, 0, 0,             // wait: mov eax, rt_sigtimedwait
    0x48, 0x8d, 0x3d, 0x1c, 0, 0, 0, // lea rdi, [set]
    0x31, 0xf6,                     // xor esi, esi
    0x31, 0xd2,                     // xor edx, edx
    0x41, 0xba, 8, 0, 0, 0,         // mov r10d, 8
    0x0f, 0x05,                     // syscall
    0x83, 0xf8, 15,                 // cmp eax, SIGTERM
    0x75, 0xe3,                     // jne wait
    0xb8, 60, 0, 0, 0,              // mov eax, exit
    0x31, 0xff,                     // xor edi, edi
    0x0f, 0x05,                     // syscall
    0x66, 0x90,                     // nop
    0, 0x40, 0, 0, 0, 0, 0, 0,      // set: bit 14, SIGTERM
];

#[rustfmt::skip]
const AARCH64: [u8; 80] = [
    0xe8, 0x10, 0x80, 0xd2, // mov x8, rt_sigprocmask
    0x00, 0x00, 0x80, 0xd2, // mov x0, 0
    0x01, 0x02, 0x00, 0x10, // adr x1, set
    0x02, 0x00, 0x80, 0xd2, // mov x2, 0
    0x03, 0x01, 0x80, 0xd2, // mov x3, 8
    0x01, 0x00, 0x00, 0xd4, // svc 0
    0x28, 0x11, 0x80, 0xd2, // wait: mov x8, rt_sigtimedwait
    0x60, 0x01, 0x00, 0x10, // adr x0, set
    0x01, 0x00, 0x80, 0xd2, // mov x1, 0
    0x02, 0x00, 0x80, 0xd2, // mov x2, 0
    0x03, 0x01, 0x80, 0xd2, // mov x3, 8
    0x01, 0x00, 0x00, 0xd4, // svc 0
    0x1f, 0x3c, 0x00, 0x71, // cmp w0, SIGTERM
    0x21, 0xff, 0xff, 0x54, // b.ne wait
    0xa8, 0x0b, 0x80, 0xd2, // mov x8, exit
    0x00, 0x00, 0x80, 0xd2, // mov x0, 0
    0x01, 0x00, 0x00, 0xd4, // svc 0
    0x1f, 0x20, 0x03, 0xd5, // nop
    0, 0x40, 0, 0, 0, 0, 0, 0,
];

#[rustfmt::skip]
const ARMV7: [u8; 80] = [
    0xaf, 0x70, 0xa0, 0xe3, // mov r7, rt_sigprocmask
    0x00, 0x00, 0xa0, 0xe3, // mov r0, 0
    0x38, 0x10, 0x8f, 0xe2, // adr r1, set
    0x00, 0x20, 0xa0, 0xe3, // mov r2, 0
    0x08, 0x30, 0xa0, 0xe3, // mov r3, 8
    0x00, 0x00, 0x00, 0xef, // svc 0
    0xb1, 0x70, 0xa0, 0xe3, // wait: mov r7, rt_sigtimedwait
    0x24, 0x00, 0x8f, 0xe2, // adr r0, set
    0x00, 0x10, 0xa0, 0xe3, // mov r1, 0
    0x00, 0x20, 0xa0, 0xe3, // mov r2, 0
    0x08, 0x30, 0xa0, 0xe3, // mov r3, 8
    0x00, 0x00, 0x00, 0xef, // svc 0
    0x0f, 0x00, 0x50, 0xe3, // cmp r0, SIGTERM
    0xf7, 0xff, 0xff, 0x1a, // bne wait
    0x01, 0x70, 0xa0, 0xe3, // mov r7, exit
    0x00, 0x00, 0xa0, 0xe3, // mov r0, 0
    0x00, 0x00, 0x00, 0xef, // svc 0
    0x00, 0xf0, 0x20, 0xe3, // nop
    0, 0x40, 0, 0, 0, 0, 0, 0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_describe_the_whole_file() {
        for (machine, class, entry) in [(Machine::X86_64, 2, 120), (Machine::Aarch64, 2, 120), (Machine::Armv7, 1, 84)] {
            let file = elf(machine);
            assert_eq!(&file[..7], &[0x7f, b'E', b'L', b'F', class, 1, 1]);
            assert_eq!(u16::from_le_bytes([file[18], file[19]]), machine.elf_number());
            assert_eq!(u32::from_le_bytes(file[24..28].try_into().unwrap()), LOAD_ADDRESS + entry);
            let size_at = if class == 2 { 64 + 32 } else { 52 + 16 };
            assert_eq!(u32::from_le_bytes(file[size_at..size_at + 4].try_into().unwrap()) as usize, file.len(), "{machine:?}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn it_runs_until_it_is_told_to_end() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, elf(Machine::X86_64)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = start(&path);
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "it must still run");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    /// A child that another test forks at this moment may still hold the file open for writing.
    #[cfg(target_arch = "x86_64")]
    fn start(path: &std::path::Path) -> std::process::Child {
        for _ in 0..100 {
            match std::process::Command::new(path).spawn() {
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                other => return other.unwrap(),
            }
        }
        panic!("the file stays busy")
    }
}
