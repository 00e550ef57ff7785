//! `config.txt` of the Raspberry Pi and its kin.
//!
//! Only lines that hold for every board are read and changed: those before the first section and those of `[all]`. What
//! stands under `[pi4]` and the like is its author's.

use super::line::{setting, split, usual_end, with_value};
use super::{Changes, Values, overlay};

/// Keys of which every line counts.
pub(super) const LISTS: [&str; 5] = ["dtparam", "dtoverlay", "device_tree_param", "device_tree_overlay", "gpio"];

struct Line {
    bytes: Vec<u8>,
    /// Key and value, when it holds for every board.
    setting: Option<(String, String)>,
    /// Whether it stands under a condition.
    conditional: bool,
}

/// The file as lines with their meaning.
struct ConfigTxt {
    lines: Vec<Line>,
}

/// One item of a list: its value and the lines it takes.
struct Item {
    value: String,
    lines: Vec<usize>,
}

/// What the file says to every board.
pub(super) fn read(text: &[u8]) -> Result<Values, String> {
    let file = ConfigTxt::parse(text);
    let mut values = Values::new();
    for (key, value) in file.lines.iter().filter_map(|line| line.setting.as_ref()) {
        if !LISTS.contains(&key.as_str()) {
            values.insert(key.clone(), vec![value.clone()]);
        }
    }
    for key in LISTS {
        let items = file.values(key);
        if !items.is_empty() {
            values.insert(key.to_owned(), items);
        }
    }
    Ok(values)
}

/// The text with some keys changed.
pub(super) fn edit(text: &[u8], changes: &Changes) -> Result<Vec<u8>, String> {
    let mut file = ConfigTxt::parse(text);
    let (lists, plain): (Vec<_>, Vec<_>) = changes.iter().partition(|(key, _)| LISTS.contains(&key.as_str()));
    for (key, values) in plain {
        file.set(key, values.as_ref().and_then(|values| values.first()).map(String::as_str));
    }
    // Overlays come last, so that no parameter is taken for theirs.
    for key in LISTS {
        if let Some((_, values)) = lists.iter().find(|(name, _)| name.as_str() == key) {
            file.set_list(key, values.as_deref().unwrap_or_default());
        }
    }
    Ok(file.print())
}

impl ConfigTxt {
    fn parse(text: &[u8]) -> ConfigTxt {
        let mut file = ConfigTxt { lines: Vec::new() };
        file.replace(split(text));
        file
    }

    /// Takes these lines for the file and finds out what they mean.
    fn replace(&mut self, lines: Vec<Vec<u8>>) {
        let mut conditional = false;
        let meaning = |bytes: Vec<u8>| {
            let text = bytes.trim_ascii();
            if text.starts_with(b"[") {
                conditional = !text.to_ascii_lowercase().starts_with(b"[all]");
                return Line { bytes, setting: None, conditional };
            }
            let setting = setting(&bytes).filter(|_| !conditional);
            Line { bytes, setting, conditional }
        };
        self.lines = lines.into_iter().map(meaning).collect();
    }

    fn print(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.bytes.iter().copied()).collect()
    }

    fn values(&self, key: &str) -> Vec<String> {
        self.items(key).into_iter().map(|item| item.value).collect()
    }

    /// The items of a list key, in order. Parameters after an overlay are the overlay's, unless the base has such a one;
    /// an overlay without a name ends the last one, and after one for some boards only nobody knows whose they are.
    fn items(&self, key: &str) -> Vec<Item> {
        let mut overlays: Vec<Item> = Vec::new();
        let mut others = Vec::new();
        let mut open = false;
        for (at, line) in self.lines.iter().enumerate() {
            let Some((name, value)) = &line.setting else {
                open &= !(line.conditional && setting(&line.bytes).is_some_and(|(name, _)| name == "dtoverlay"));
                continue;
            };
            match (name.as_str(), overlays.last_mut()) {
                ("dtoverlay", _) => {
                    open = !value.is_empty();
                    if open {
                        overlays.push(Item { value: overlay::normal(value), lines: vec![at] });
                    }
                }
                ("dtparam", Some(last)) if open && !overlay::is_base(value) => {
                    last.value = overlay::normal(&format!("{},{value}", last.value));
                    last.lines.push(at);
                }
                (name, _) if name == key => others.push(Item { value: value.clone(), lines: vec![at] }),
                _ => {}
            }
        }
        if key == "dtoverlay" { overlays } else { others }
    }

    /// Sets or removes a key with one value. The last of several lines is the one that counts.
    fn set(&mut self, key: &str, value: Option<&str>) {
        let of_key = |line: &Line| line.setting.as_ref().is_some_and(|(name, _)| name == key);
        let last = self.lines.iter().rposition(of_key);
        match (value, last) {
            (Some(value), Some(at)) => self.lines[at].bytes = with_value(&self.lines[at].bytes, value.as_bytes()),
            (Some(value), None) => return self.append(&[format!("{key}={value}")]),
            (None, _) => self.lines.retain(|line| !of_key(line)),
        }
        self.reread();
    }

    /// Brings a list to these values: what is wanted and there stays where it is, if the order allows.
    fn set_list(&mut self, key: &str, wanted: &[String]) {
        let mut left = wanted.to_vec();
        let surplus = self.items(key).into_iter().filter(|item| match left.iter().position(|value| *value == item.value) {
            Some(at) => {
                left.remove(at);
                false
            }
            None => true,
        });
        let surplus = surplus.flat_map(|item| item.lines).collect();
        self.remove(surplus);
        let kept = self.values(key);
        if wanted.starts_with(&kept) {
            self.add(key, &wanted[kept.len()..]);
        }
        if self.values(key) != wanted {
            let all = self.items(key).into_iter().flat_map(|item| item.lines).collect();
            self.remove(all);
            self.add(key, wanted);
        }
    }

    fn add(&mut self, key: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        match key {
            "dtoverlay" => self.append(&values.iter().flat_map(|value| overlay::lines(value)).collect::<Vec<_>>()),
            "dtparam" => self.add_parameters(values),
            _ => self.append(&values.iter().map(|value| format!("{key}={value}")).collect::<Vec<_>>()),
        }
    }

    /// Parameters of the base go before the first overlay, whoever's it is.
    fn add_parameters(&mut self, values: &[String]) {
        let lines: Vec<String> = values.iter().map(|value| format!("dtparam={value}")).collect();
        let overlay = |line: &Line| setting(&line.bytes).is_some_and(|(name, _)| name == "dtoverlay");
        let Some(overlay) = self.lines.iter().position(overlay) else { return self.append(&lines) };
        // The beginning of the file holds for every board, so there is always such a place.
        let at = self.lines[..overlay].iter().rposition(|line| !line.conditional).map_or(0, |before| before + 1);
        self.insert(at, &lines);
    }

    /// Adds lines at the end, where they win over earlier ones, under `[all]`.
    fn append(&mut self, lines: &[String]) {
        let conditional = self.lines.last().is_some_and(|line| line.conditional);
        let heading = conditional.then(|| "[all]".to_owned());
        let lines: Vec<String> = heading.into_iter().chain(lines.iter().cloned()).collect();
        self.insert(self.lines.len(), &lines);
    }

    fn insert(&mut self, at: usize, lines: &[String]) {
        let end = usual_end(self.lines.iter().map(|line| line.bytes.as_slice()));
        let mut all: Vec<Vec<u8>> = std::mem::take(&mut self.lines).into_iter().map(|line| line.bytes).collect();
        // A last line without an end gets one before another follows it.
        if let Some(before) = at.checked_sub(1).and_then(|before| all.get_mut(before))
            && !before.ends_with(b"\n")
        {
            before.extend_from_slice(end);
        }
        all.splice(at..at, lines.iter().map(|line| [line.as_bytes(), end].concat()));
        self.replace(all);
    }

    fn remove(&mut self, lines: Vec<usize>) {
        let mut at = 0;
        self.lines.retain(|_| {
            at += 1;
            !lines.contains(&(at - 1))
        });
        self.reread();
    }

    fn reread(&mut self) {
        let lines = std::mem::take(&mut self.lines).into_iter().map(|line| line.bytes).collect();
        self.replace(lines);
    }
}

#[cfg(test)]
mod tests;
