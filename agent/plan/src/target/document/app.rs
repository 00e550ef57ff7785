//! One app of the target: accepted, or refused alone with everything that is wrong with it.

use super::{release, rules};
use crate::target::reading::{Field, Findings, expected};
use crate::target::{App, AppClass, Offence, RefusedApp};

/// Reads an app. `ports_left` is what the document may still ask for in ports; an accepted app takes its share.
///
/// # Errors
/// The refused app with every offence found in it.
pub fn read(field: &Field<'_>, uuid: &str, ports_left: &mut usize) -> Result<App, RefusedApp> {
    let mut findings = Findings::new(*ports_left);
    if !rules::is_short(uuid) {
        findings.refuse(field, format!("its uuid is longer than {} characters", rules::LONGEST));
    }
    if !field.value.is_object() {
        findings.refuse(field, expected("an object", field.value));
        return Err(RefusedApp { id: None, name: None, commit: None, offences: findings.into_offences() });
    }
    let id = rules::id(field, "id", &mut findings);
    let name = rules::short_text(field, "name", &mut findings);
    let class = class(field, &mut findings);
    let is_host = rules::flag(field, "is_host", &mut findings).unwrap_or(false);
    if let Some(parent) = field.get("parent_app") {
        rules::check_short_text(&parent, &mut findings);
    }
    let releases = rules::object(field, "releases", &mut findings);
    let first = releases.as_ref().and_then(|releases| releases.members().next());
    let commit = first.as_ref().map(|(commit, _)| (*commit).to_owned());
    let release = first.map(|(commit, member)| release::read(&member, commit, &mut findings));
    match (id, name, findings.is_clean()) {
        (Some(id), Some(name), true) => {
            *ports_left = findings.ports_left;
            let document = std::sync::Arc::new(field.value.clone());
            let fingerprint = fingerprint(field.value);
            Ok(App { id, uuid: uuid.to_owned(), name: name.to_owned(), class, is_host, document, fingerprint, release })
        }
        _ => Err(RefusedApp { id, name: name.map(str::to_owned), commit, offences: findings.into_offences() }),
    }
}

/// Tells two documents apart: FNV-1a over the text. Not a safeguard, only a reason not to write the same again.
fn fingerprint(document: &serde_json::Value) -> String {
    let text = document.to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Turns an accepted app into a refused one.
pub fn refused(app: App, offence: Offence) -> RefusedApp {
    RefusedApp {
        id: Some(app.id),
        name: Some(app.name),
        commit: app.release.map(|release| release.commit),
        offences: vec![offence],
    }
}

fn class(field: &Field<'_>, findings: &mut Findings) -> AppClass {
    let Some(class) = field.get("class") else { return AppClass::default() };
    match class.value.as_str() {
        Some("fleet") => AppClass::Fleet,
        Some("app") => AppClass::App,
        Some("block") => AppClass::Block,
        _ => {
            findings.refuse(&class, "expected fleet, app or block");
            AppClass::default()
        }
    }
}
