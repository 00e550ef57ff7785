//! Device tree overlays and parameters of config.txt: which parameter belongs to which overlay (behaviour §11).

/// Parameters of the base device tree: never an overlay's, wherever they stand.
const BASE: [&str; 8] = ["audio", "spi", "i2c", "i2c_arm", "i2c_vc", "i2c_baudrate", "i2c_arm_baudrate", "i2c_vc_baudrate"];

/// Whether a parameter is the base device tree's wherever it stands.
pub(super) fn is_base(parameter: &str) -> bool {
    BASE.contains(&parameter.split('=').next().unwrap_or_default().trim())
}

/// An overlay in one normal form: its name and parameters with commas between them.
pub(super) fn normal(overlay: &str) -> String {
    overlay.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

/// The lines an overlay is written as: parameters on lines of their own, for the firmware reads short lines only. What
/// would be read as the base device tree's there stays with the name.
pub(super) fn lines(overlay: &str) -> Vec<String> {
    let mut parts = overlay.split(',');
    let mut head = format!("dtoverlay={}", parts.next().unwrap_or_default());
    let mut rest: Vec<&str> = parts.collect();
    // Parameters keep their order, so those before a base one stay with the name too.
    let inline = rest.iter().rposition(|part| is_base(part) || part.is_empty()).map_or(0, |at| at + 1);
    for part in rest.drain(..inline) {
        head.push(',');
        head.push_str(part);
    }
    let own = rest.into_iter().map(|part| format!("dtparam={part}"));
    std::iter::once(head).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_on_short_lines_without_losing_a_parameter_to_the_base() {
        assert_eq!(lines("i2c-rtc,ds1307"), ["dtoverlay=i2c-rtc", "dtparam=ds1307"]);
        assert_eq!(lines("x,a=1,audio=on,b"), ["dtoverlay=x,a=1,audio=on", "dtparam=b"]);
        assert_eq!(lines("vc4-kms-v3d"), ["dtoverlay=vc4-kms-v3d"]);
        assert_eq!(normal(" a , b=1"), "a,b=1");
    }
}
