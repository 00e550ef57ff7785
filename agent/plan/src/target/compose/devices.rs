//! `devices`: `host[:container[:permissions]]`, or the long form.

use std::collections::BTreeSet;

use crate::container::Device;
use crate::target::reading::{Field, Findings, Section, Weight, expected, string};

/// Reads devices. A wrong one refuses the app: it would not find its hardware.
pub fn read(section: &mut Section<'_, '_>) -> BTreeSet<Device> {
    let mut devices = BTreeSet::new();
    let Some(field) = section.take("devices") else { return devices };
    if !field.value.is_array() {
        section.expected(Weight::Refuse, &field, "a list of devices");
    }
    for item in field.items() {
        let device = if item.value.is_object() { long(&item, section.findings) } else { short(&item) };
        match device.and_then(checked) {
            Ok(device) => drop(devices.insert(device)),
            Err(message) => section.findings.refuse(&item, message),
        }
    }
    devices
}

fn short(item: &Field<'_>) -> Result<Device, String> {
    let text = string(item.value).ok_or_else(|| expected("a device such as /dev/ttyS0", item.value))?;
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default().to_owned();
    // Without a path in the container the second part may already be the permissions, as for the engine's own tools.
    let (container, permissions) = match (parts.next(), parts.next()) {
        (Some(permissions), None) if !permissions.is_empty() && !permissions.starts_with('/') => (None, Some(permissions)),
        (container, permissions) => (container, permissions),
    };
    if parts.next().is_some() {
        return Err("it has more parts than host:container:permissions".into());
    }
    let container = container.filter(|path| !path.is_empty()).unwrap_or(&host).to_owned();
    Ok(Device { host, container, permissions: permissions.filter(|text| !text.is_empty()).unwrap_or("rwm").to_owned() })
}

fn long(item: &Field<'_>, findings: &mut Findings) -> Result<Device, String> {
    let mut section = Section::of(item, findings);
    let host = section.text("source", Weight::Refuse).ok_or("it has no source")?;
    let container = section.text("target", Weight::Refuse).unwrap_or_else(|| host.clone());
    let permissions = section.text("permissions", Weight::Refuse).unwrap_or_else(|| "rwm".into());
    section.finish(|_| None);
    Ok(Device { host, container, permissions })
}

fn checked(device: Device) -> Result<Device, String> {
    if !device.host.starts_with('/') || !device.container.starts_with('/') {
        return Err("a device's path is not absolute".into());
    }
    if device.permissions.bytes().any(|b| !b"rwm".contains(&b)) {
        return Err("its permissions are not some of r, w and m".into());
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn devices() {
        for (item, wanted) in [
            (json!("/dev/a"), Some(("/dev/a", "/dev/a", "rwm"))),
            (json!("/dev/a:/dev/b"), Some(("/dev/a", "/dev/b", "rwm"))),
            (json!("/dev/a:/dev/b:r"), Some(("/dev/a", "/dev/b", "r"))),
            (json!("/dev/a:rw"), Some(("/dev/a", "/dev/a", "rw"))),
            (json!({"source": "/dev/a", "target": "/dev/b", "permissions": "rw"}), Some(("/dev/a", "/dev/b", "rw"))),
            (json!({"source": "/dev/a"}), Some(("/dev/a", "/dev/a", "rwm"))),
            (json!("dev/a"), None),
            (json!("/dev/a:/dev/b:x"), None),
            (json!("/dev/a:/dev/b:r:w"), None),
            (json!("vendor.com/gpu=0"), None),
            (json!({}), None),
            (json!(1), None),
        ] {
            let value = json!({ "devices": [item] });
            let (root, mut findings) = (Field::root(&value), Findings::new(0));
            let read = read(&mut Section::of(&root, &mut findings));
            let read = read.first().map(|d| (d.host.as_str(), d.container.as_str(), d.permissions.as_str()));
            assert_eq!((read, findings.is_clean()), (wanted, wanted.is_some()), "{value}");
        }
    }
}
