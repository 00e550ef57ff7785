//! An error with all its causes on one line.

/// The texts of an error and of all its causes, outermost first, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let this = error.to_string();
        if !text.contains(&this) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&this);
        }
        next = error.source();
    }
    // A device without a battery-backed clock wakes up in the past and then finds every certificate invalid.
    if text.contains("not valid yet") || text.contains("NotValidYet") || text.contains("Expired") || text.contains("expired") {
        text.push_str(" (is the device's clock right?)");
    }
    text
}
