//! What of the status is shown without a key, to whoever is near enough to ask for it.

use super::Status;

/// Reasons that quote what somebody set, and what is said instead.
const QUOTING: [&str; 2] = ["refused", "variable-passed-over"];
const KEPT_BACK: &str = "what it is, is shown with a key";
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
        // The same texts stand wherever it is told what is waited for.
        for wait in self.waiting.iter_mut().filter(|wait| QUOTING.contains(&wait.reason.as_str())) {
            let told = std::mem::replace(&mut wait.text, KEPT_BACK.to_owned());
            self.phase.text = self.phase.text.replace(&told, KEPT_BACK);
            let services = self.apps.iter_mut().flat_map(|app| &mut app.services);
            for waiting in services.filter_map(|service| service.waiting.as_mut()).filter(|waiting| **waiting == told) {
                KEPT_BACK.clone_into(waiting);
            }
        }
        let path = std::mem::take(&mut self.database.path);
        let faults = self.faults.iter_mut().map(|fault| &mut fault.message);
        hide_path(&path, &mut self.health.reasons.iter_mut().chain(&mut self.database.error).chain(faults));
        self.database.recovery = None;
        self.database.newest_backup = None;
        self
    }
}

/// Leaves out where a file lies.
pub(in crate::api) fn hide_path(path: &str, texts: &mut dyn Iterator<Item = &mut String>) {
    for text in texts.filter(|_| !path.is_empty()) {
        *text = text.replace(path, "…");
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AppRow, FaultRow, OffenceRow, RefusedRow, ServiceRow, UnsupportedRow, WaitRow};
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
        let wait = |reason: &str, text: &str| WaitRow { reason: reason.into(), text: text.into(), ..WaitRow::default() };
        status.waiting.push(wait("refused", "refused: environment: hunter2"));
        status.waiting.push(wait("variable-passed-over", "X is \"hunter2\""));
        status.waiting.push(wait("waiting-for-lock", "waiting for the lock of main"));
        status.phase.text = "Waiting: shop: refused: environment: hunter2".into();
        let service = ServiceRow { waiting: Some("refused: environment: hunter2".into()), ..ServiceRow::default() };
        status.apps.push(AppRow { services: vec![service], ..AppRow::default() });
        status.database.path = "/data/x.sqlite".into();
        status.database.error = Some("/data/x.sqlite: disk I/O error".into());
        status.health.reasons = vec!["the database /data/x.sqlite is not open".into()];
        status.faults.push(FaultRow { subject: "database".into(), message: "/data/x.sqlite: full".into() });
        let shown = serde_json::to_string(&status.for_onlookers()).unwrap();
        assert!(!shown.contains("/data") && shown.contains("disk I/O error") && shown.contains("Waiting: shop: "), "{shown}");
        assert!(shown.contains("the lock of main"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("0123456789") && shown.contains("v3/0123456/state"), "{shown}");
        assert!(shown.contains("\"reduced\":true") && shown.contains("shop") && shown.contains("\"0123456\""), "{shown}");
    }
}
