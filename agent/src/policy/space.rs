//! Whether a download fits on the engine's disk.

use holdfast_plan::policy::Watermark;

/// What a download takes on the disk, percent of what is downloaded. The engine keeps layers unpacked, which is one and a
/// half to three times the download for programs and libraries, and while it unpacks a layer the download of it lies
/// beside.
const ON_DISK_PERCENT: u64 = 250;

/// Room on the engine's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The disk's size, bytes.
    pub total_bytes: u64,
    /// What could still be written, bytes.
    pub free_bytes: u64,
    /// What other downloads that were let in will still write, bytes.
    pub claimed_bytes: u64,
    /// How full the disk may get.
    pub watermark: Watermark,
}

/// A download that does not fit. The sentence has the numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not enough room on the engine's disk: {} are needed ({} to download, and the layers unpacked), {} may be written: {} of {} are free and \
     the disk is filled to {} % at most{}",
    megabytes(*.needed_bytes, Rounded::Up),
    megabytes(*.download_bytes, Rounded::Up),
    megabytes(*.allowed_bytes, Rounded::Down),
    megabytes(.room.free_bytes, Rounded::Down),
    megabytes(.room.total_bytes, Rounded::Down),
    .room.watermark.percent(),
    claimed(.room)
)]
pub struct Shortage {
    /// What has to be downloaded, bytes.
    pub download_bytes: u64,
    /// What it takes on the disk, bytes.
    pub needed_bytes: u64,
    /// What may be written, bytes.
    pub allowed_bytes: u64,
    /// The disk.
    pub room: Room,
}

/// Judges a download of so many bytes: what it will take on the disk, if it fits.
///
/// # Errors
/// When it does not fit; with the numbers.
pub fn judge(download_bytes: u64, room: Room) -> Result<u64, Shortage> {
    let needed_bytes = u64::try_from(u128::from(download_bytes) * u128::from(ON_DISK_PERCENT) / 100).unwrap_or(u64::MAX);
    let taken = room.total_bytes.saturating_sub(room.free_bytes);
    let below_watermark = room.watermark.of(room.total_bytes).saturating_sub(taken);
    let allowed_bytes = below_watermark.min(room.free_bytes).saturating_sub(room.claimed_bytes);
    // What is there already fits on the fullest disk.
    if needed_bytes <= allowed_bytes || needed_bytes == 0 {
        Ok(needed_bytes)
    } else {
        Err(Shortage { download_bytes, needed_bytes, allowed_bytes, room })
    }
}

#[derive(Clone, Copy)]
enum Rounded {
    Up,
    Down,
}

/// `12.3 MB`, rounded so that what does not fit does not look as if it did.
fn megabytes(bytes: u64, rounded: Rounded) -> String {
    const TENTH_BYTES: u64 = 100_000;
    let tenths = match rounded {
        Rounded::Up => bytes.div_ceil(TENTH_BYTES),
        Rounded::Down => bytes / TENTH_BYTES,
    };
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

fn claimed(room: &Room) -> String {
    match room.claimed_bytes {
        0 => String::new(),
        bytes => format!("; {} of them are for downloads that run already", megabytes(bytes, Rounded::Up)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn room(total: u64, free: u64, claimed: u64) -> Room {
        let watermark = Watermark::DEFAULT;
        Room { total_bytes: total * MB, free_bytes: free * MB, claimed_bytes: claimed * MB, watermark }
    }

    #[test]
    fn up_to_the_watermark_and_no_further() {
        // 1000 MB with 300 free: 700 taken, 900 allowed, 200 left.
        assert_eq!(judge(80 * MB, room(1000, 300, 0)), Ok(200 * MB));
        let shortage = judge(80 * MB + 1, room(1000, 300, 0)).unwrap_err();
        assert_eq!((shortage.needed_bytes, shortage.allowed_bytes), (200 * MB + 2, 200 * MB));
        let filled = Room { watermark: "100".parse().unwrap(), ..room(1000, 300, 0) };
        assert_eq!(judge(120 * MB, filled), Ok(300 * MB));
    }

    #[test]
    fn what_runs_already_counts() {
        assert_eq!(judge(20 * MB, room(1000, 300, 150)), Ok(50 * MB));
        let shortage = judge(20 * MB, room(1000, 300, 151)).unwrap_err().to_string();
        assert!(shortage.contains("; 151.0 MB of them are for downloads that run already"), "{shortage}");
    }

    #[test]
    fn nothing_to_download_fits_on_a_full_disk() {
        assert_eq!(judge(0, room(1000, 0, 0)), Ok(0));
        assert_eq!(judge(0, room(0, 0, 0)), Ok(0));
        assert!(judge(1, room(1000, 50, 0)).is_err());
    }

    #[test]
    fn absurd_sizes_do_not_wrap() {
        let shortage = judge(u64::MAX, room(1000, 300, 0)).unwrap_err();
        assert_eq!(shortage.needed_bytes, u64::MAX);
        assert!(judge(1, Room { claimed_bytes: u64::MAX, ..room(1000, 300, 0) }).is_err());
        assert!(judge(1, Room { total_bytes: 1, free_bytes: u64::MAX, ..room(0, 0, 0) }).is_err());
    }

    #[test]
    fn the_sentence_has_the_numbers() {
        let shortage = judge(100 * MB, room(1000, 140, 0)).unwrap_err().to_string();
        assert_eq!(
            shortage,
            "not enough room on the engine's disk: 250.0 MB are needed (100.0 MB to download, and the layers unpacked), \
             40.0 MB may be written: 140.0 MB of 1000.0 MB are free and the disk is filled to 90 % at most"
        );
    }
}
