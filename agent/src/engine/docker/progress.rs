//! How far a pull has come, from what the engine says of each layer.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;

/// Most layers that are followed; images cannot have more than 127.
const MOST_LAYERS: usize = 512;

/// The last figure before the image is really there.
const ALMOST: u8 = 99;

/// The layers of one pull.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: BTreeMap<String, Layer>,
    shown: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Layer {
    /// Bytes to download, once the engine said so.
    size: Option<u64>,
    downloaded: u64,
    extracted: u64,
    done: bool,
}

impl Layer {
    /// Done bytes out of twice the size: each byte is first downloaded, then extracted.
    fn done_of(&self, size: u64) -> u64 {
        if self.done { 2 * size } else { self.downloaded.min(size) + self.extracted.min(size) }
    }
}

impl Layers {
    /// Takes in one entry of the engine's stream; the percentage when it went up.
    pub fn note(&mut self, entry: &CreateImageInfo) -> Option<u8> {
        let (id, status) = (entry.id.as_deref()?, entry.status.as_deref()?);
        if !is_about_layer(status) || (self.layers.len() >= MOST_LAYERS && !self.layers.contains_key(id)) {
            return None;
        }
        let layer = self.layers.entry(id.to_owned()).or_default();
        let detail = entry.progress_detail.as_ref();
        let bytes = |value: Option<i64>| value.and_then(|bytes| u64::try_from(bytes).ok());
        let current = bytes(detail.and_then(|detail| detail.current));
        if let Some(total) = bytes(detail.and_then(|detail| detail.total)).filter(|total| *total > 0) {
            layer.size = Some(total);
        }
        match status {
            "Downloading" => layer.downloaded = current.unwrap_or(layer.downloaded),
            "Download complete" | "Verifying Checksum" => layer.downloaded = u64::MAX,
            "Extracting" => {
                layer.downloaded = u64::MAX;
                layer.extracted = current.unwrap_or(layer.extracted);
            }
            "Pull complete" | "Already exists" => layer.done = true,
            _ => {}
        }
        let percent = self.percent();
        (percent > self.shown).then(|| {
            self.shown = percent;
            percent
        })
    }

    /// Weighs layers by size; one whose size is not known yet counts as an average one.
    fn percent(&self) -> u8 {
        let known: Vec<u64> = self.layers.values().filter_map(|layer| layer.size).collect();
        let average = known.iter().fold(0u64, |sum, size| sum.saturating_add(*size)) / (known.len().max(1) as u64);
        let (mut done, mut all) = (0u128, 0u128);
        for layer in self.layers.values() {
            let size = layer.size.unwrap_or(average).clamp(1, u64::MAX / 2);
            done += u128::from(layer.done_of(size));
            all += u128::from(2 * size);
        }
        let percent = (done * 100).checked_div(all).unwrap_or(0);
        u8::try_from(percent).unwrap_or(ALMOST).min(ALMOST)
    }
}

/// Entries about the whole image carry its tag as their id: they are not layers.
fn is_about_layer(status: &str) -> bool {
    const STATUSES: [&str; 8] = [
        "Pulling fs layer",
        "Waiting",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
        "Already exists",
    ];
    STATUSES.contains(&status)
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn entry(id: &str, status: &str, detail: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: detail.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn bytes_count_not_layers() {
        let mut layers = Layers::default();
        layers.note(&entry("big", "Pulling fs layer", None));
        layers.note(&entry("small", "Pulling fs layer", None));
        layers.note(&entry("small", "Downloading", Some((10, 10))));
        layers.note(&entry("big", "Downloading", Some((0, 990))));
        layers.note(&entry("small", "Pull complete", None));
        assert_eq!(layers.percent(), 1);
        assert_eq!(layers.note(&entry("big", "Downloading", Some((400, 990)))), None, "an earlier guess was higher");
        assert_eq!(layers.note(&entry("big", "Download complete", None)), Some(50));
        assert_eq!(layers.note(&entry("big", "Extracting", Some((495, 990)))), Some(75));
        assert_eq!(layers.note(&entry("big", "Pull complete", None)), Some(ALMOST));
    }

    #[test]
    fn it_never_goes_down() {
        let mut layers = Layers::default();
        let mut last = 0;
        for step in [
            entry("a", "Downloading", Some((50, 100))),
            entry("b", "Pulling fs layer", None),
            entry("b", "Downloading", Some((0, 100_000))),
            entry("a", "Downloading", Some((0, 100))),
            entry("a", "Pull complete", None),
            entry("b", "Downloading", Some((90_000, 100_000))),
        ] {
            if let Some(percent) = layers.note(&step) {
                assert!(percent > last, "{percent} after {last}");
                last = percent;
            }
        }
        assert!(last > 0);
    }

    #[test]
    fn strange_figures_do_no_harm() {
        let mut layers = Layers::default();
        assert_eq!(layers.note(&entry("latest", "Pulling from v2/ab", None)), None);
        for detail in [(-5, -1), (i64::MAX, 1), (1, i64::MAX), (0, 0)] {
            layers.note(&entry(&detail.0.to_string(), "Downloading", Some(detail)));
        }
        for number in 0..2 * MOST_LAYERS {
            layers.note(&entry(&format!("layer {number}"), "Already exists", None));
        }
        assert!(layers.layers.len() <= MOST_LAYERS && layers.percent() <= ALMOST);
    }
}
