//! The machine: memory, heat, power, and what its kernel complains of.

use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::host::{Host, kernel_log as log, read_in};

/// The least share of memory that is to be available, percent; with less than the second the kernel soon ends programs.
const LOW_PERCENT: u64 = 10;
const OUT_PERCENT: u64 = 3;
/// From here processors slow down, and from there they fail, °C.
const HOT: i64 = 80;
const TOO_HOT: i64 = 90;

/// Whether there is memory left.
pub(super) fn memory(scene: &Scene) -> Judgement {
    judge_memory(&read_in(&scene.machine, "proc/meminfo").unwrap_or_default())
}

fn judge_memory(meminfo: &str) -> Judgement {
    let kib = |name: &str| {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let Some(total) = kib("MemTotal").filter(|total| *total > 0) else {
        return Judgement::skipped("the kernel does not tell how much memory there is");
    };
    let older = || ["MemFree", "Cached", "Buffers"].iter().filter_map(|name| kib(name)).fold(0, u64::saturating_add);
    let available = kib("MemAvailable").unwrap_or_else(older);
    let percent = available.saturating_mul(100) / total;
    let sentence = format!("{} of {} MiB of memory are available ({percent} %)", available / 1024, total / 1024);
    let remedy = "holdfast stats shows which container takes it; give it a limit (mem_limit) or the device less to do";
    match percent {
        ..OUT_PERCENT => Judgement::failed(sentence, remedy),
        OUT_PERCENT..LOW_PERCENT => Judgement::warning(sentence, remedy),
        _ => Judgement::ok(sentence),
    }
}

/// Whether the processor is hot.
pub(super) async fn temperature(scene: &Scene) -> Judgement {
    judge_temperature(scene.host.metrics().await.cpu_temp)
}

fn judge_temperature(celsius: Option<i64>) -> Judgement {
    let Some(celsius) = celsius else { return Judgement::skipped("nothing here measures the temperature") };
    let sentence = format!("the processor has {celsius} °C");
    let remedy = "give the device air or a heat sink, or less to do: it slows down to protect itself";
    match celsius {
        TOO_HOT.. => Judgement::failed(sentence, remedy),
        HOT.. => Judgement::warning(sentence, remedy),
        _ => Judgement::ok(sentence),
    }
}

/// Whether the supply voltage held.
pub(super) async fn power(scene: &Scene) -> Judgement {
    if scene.host.metrics().await.is_undervolted {
        return Judgement::warning(
            "the supply voltage was too low since the machine started",
            "use a stronger power supply and a short, thick cable: low voltage damages files and freezes devices",
        );
    }
    match log::open(&scene.machine) {
        Some(_) => Judgement::ok("nothing speaks of a supply voltage that was too low"),
        None => Judgement::skipped("the kernel's log cannot be read, and no firmware tells"),
    }
}

/// Words of the kernel, what they mean, whether that is a failure, what to do.
struct Hint {
    words: &'static [&'static str],
    means: &'static str,
    fails: bool,
    remedy: &'static str,
}

const STORAGE: &str =
    "the storage is failing or badly connected: copy what matters (holdfast db backup, holdfast volume backup) and replace it";

const HINTS: [Hint; 8] = [
    Hint { words: &["i/o error"], means: "storage that cannot be read or written", fails: true, remedy: STORAGE },
    Hint {
        words: &["ext4-fs error", "btrfs error", "corruption of in-memory data"],
        means: "a damaged file system",
        fails: true,
        remedy: STORAGE,
    },
    Hint {
        words: &["remounting filesystem read-only", "forced readonly"],
        means: "a partition made read-only",
        fails: true,
        remedy: STORAGE,
    },
    Hint { words: &["mmc", "error -"], means: "an SD card or eMMC that answers with errors", fails: true, remedy: STORAGE },
    Hint {
        words: &["out of memory:", "oom-kill:"],
        means: "programs ended because memory ran out",
        fails: false,
        remedy: "holdfast stats shows which container takes it; give it a limit (mem_limit)",
    },
    Hint {
        words: &["blocked for more than"],
        means: "programs that hung",
        fails: false,
        remedy: "slow or failing storage is the usual cause: see the checks write-latency and flash-wear",
    },
    Hint {
        words: &["throttl"],
        means: "a processor that slowed down for heat or power",
        fails: false,
        remedy: "see the checks temperature and power",
    },
    Hint {
        words: &["table full, dropping packet"],
        means: "connections that were dropped",
        fails: false,
        remedy: "raise net.netfilter.nf_conntrack_max, or find who opens so many",
    },
];

/// What the kernel's log speaks of.
pub(super) fn kernel_log(scene: &Scene) -> Judgement {
    let Some(open) = log::open(&scene.machine) else { return Judgement::skipped("the kernel's log cannot be read here") };
    let (mut counts, mut records, mut last) = ([0_u32; HINTS.len()], 0_u32, String::new());
    log::each(&open, |record| {
        records += 1;
        if let Some(at) = hint_of(record) {
            counts[at] += 1;
            last = String::from_utf8_lossy(record).lines().next().unwrap_or_default().to_owned();
        }
        true
    });
    // The words come after the record's own head.
    judge_log(&counts, records, last.split_once(';').map_or("", |(_, text)| text))
}

/// Which hint a record is. "mmc" and "error -" have to stand in it both.
fn hint_of(record: &[u8]) -> Option<usize> {
    let line = String::from_utf8_lossy(record.split(|byte| *byte == b'\n').next().unwrap_or_default()).to_ascii_lowercase();
    HINTS.iter().position(|hint| match hint.words {
        ["mmc", rest] => line.contains("mmc") && line.contains(rest),
        words => words.iter().any(|word| line.contains(word)),
    })
}

fn judge_log(counts: &[u32; HINTS.len()], records: u32, last: &str) -> Judgement {
    let seen: Vec<(&Hint, u32)> = HINTS.iter().zip(*counts).filter(|(_, count)| *count > 0).collect();
    let Some((first, _)) = seen.first() else { return Judgement::ok(format!("none of {records} records speaks of trouble")) };
    let list: Vec<String> = seen.iter().map(|(hint, count)| format!("{} ({count} times)", hint.means)).collect();
    let last: String = last.chars().take(160).collect();
    let sentence = format!("it speaks of {}; the last: {last}", list.join(", "));
    let fails = seen.iter().any(|(hint, _)| hint.fails);
    if fails { Judgement::failed(sentence, first.remedy) } else { Judgement::warning(sentence, first.remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    #[test]
    fn memory_at_its_edges() {
        let verdict = |available: u64| judge_memory(&format!("MemTotal: 10000 kB\nMemAvailable: {available} kB\n")).verdict;
        assert_eq!(
            (verdict(1000), verdict(999), verdict(300), verdict(299)),
            (Verdict::Ok, Verdict::Warning, Verdict::Warning, Verdict::Failed)
        );
        assert_eq!(judge_memory("MemTotal: 100 kB\nMemFree: 4 kB\nCached: 3 kB\nBuffers: 3 kB\n").verdict, Verdict::Ok);
        assert_eq!(judge_memory("MemTotal: 0 kB\n").verdict, Verdict::Skipped);
        assert_eq!(judge_memory("").verdict, Verdict::Skipped);
    }

    #[test]
    fn heat_at_its_edges() {
        let verdict = |celsius| judge_temperature(Some(celsius)).verdict;
        assert_eq!(
            (verdict(79), verdict(80), verdict(89), verdict(90)),
            (Verdict::Ok, Verdict::Warning, Verdict::Warning, Verdict::Failed)
        );
        assert_eq!(judge_temperature(None).verdict, Verdict::Skipped);
    }

    #[test]
    fn the_kernels_words_are_understood() {
        let of = |line: &str| hint_of(format!("3,1,2,-;{line}\n SUBSYSTEM=x\n").as_bytes()).map(|at| HINTS[at].fails);
        assert_eq!(of("blk_update_request: I/O error, dev mmcblk0, sector 7"), Some(true));
        assert_eq!(of("EXT4-fs error (device mmcblk0p6): ext4_lookup: deleted inode"), Some(true));
        assert_eq!(of("EXT4-fs (mmcblk0p6): Remounting filesystem read-only"), Some(true));
        assert_eq!(of("mmc0: error -110 whilst initialising SD card"), Some(true));
        assert_eq!(of("Out of memory: Killed process 7 (x)"), Some(false));
        assert_eq!(of("CPU0: Core temperature above threshold, cpu clock throttled"), Some(false));
        assert_eq!(of("mmc0: new high speed SDHC card"), None);
        assert_eq!(of("Booting Linux"), None);
        let mut counts = [0; HINTS.len()];
        assert_eq!(judge_log(&counts, 5, "").verdict, Verdict::Ok);
        counts[4] = 2;
        assert_eq!(judge_log(&counts, 5, "x").verdict, Verdict::Warning);
        counts[0] = 1;
        assert_eq!(judge_log(&counts, 5, "x").verdict, Verdict::Failed);
    }
}
