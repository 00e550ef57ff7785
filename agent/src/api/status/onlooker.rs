//! What of the status is shown without a key, to whoever is near enough to ask for it.

use super::Status;

/// Letters of the uuid that stay: devices are known by them, and wear them on their labels and in their host names.
const SHOWN_UUID: usize = 7;

impl Status {
    /// Without what may carry values that somebody set: of settings, and of what the target asks for. Names of apps, services
    /// and images, states, reasons and errors stay; logs and environments are not part of a status in the first place.
    pub(in crate::api) fn for_onlookers(mut self) -> Status {
        self.reduced = true;
        let whole = std::mem::take(&mut self.device.uuid);
        self.device.uuid = whole.chars().take(SHOWN_UUID).collect();
        let joining = self.cloud.provisioning.as_mut().and_then(|joining| joining.error.as_mut());
        let errors = [self.cloud.poll_error.as_mut(), self.cloud.report_error.as_mut(), joining];
        // Addresses at the cloud have it in them.
        for error in errors.into_iter().flatten().filter(|_| !whole.is_empty()) {
            *error = error.replace(&whole, &self.device.uuid);
        }
        self.settings.clear();
        self.unsupported.clear();
        for refused in &mut self.refused {
            refused.offences.clear();
        }
        self.database.path.clear();
        self.database.recovery = None;
        self.database.newest_backup = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FaultRow, OffenceRow, RefusedRow, UnsupportedRow};
    use super::*;

    #[test]
    fn values_that_somebody_set_are_left_out() {
        let secret = || "hunter2".to_owned();
        let mut status = Status::default();
        status.device.uuid = "0123456789abcdef0123456789abcdef".into();
        status.cloud.poll_error = Some(format!("GET https://api.example.com/device/v3/{}/state: refused", status.device.uuid));
        status.settings.push(FaultRow { subject: "config.json".into(), message: secret() });
        status.unsupported.push(UnsupportedRow { message: secret(), ..UnsupportedRow::default() });
        let offences = vec![OffenceRow { path: "environment".into(), message: secret() }];
        status.refused.push(RefusedRow { app: "shop".into(), offences, ..RefusedRow::default() });
        let shown = serde_json::to_string(&status.for_onlookers()).unwrap();
        assert!(!shown.contains("hunter2") && !shown.contains("0123456789") && shown.contains("v3/0123456/state"), "{shown}");
        assert!(shown.contains("\"reduced\":true") && shown.contains("shop") && shown.contains("\"0123456\""), "{shown}");
    }
}
