//! `balenaRootCA`: certificates in PEM, base64 once more (protocol §10).

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::kinds::Checked;

/// Decodes the value into PEM text that holds at least one certificate. PEM as it is, is taken too.
pub(super) fn root_certificates(text: &str) -> Checked<String> {
    let pem = if text.contains("-----BEGIN ") { Some(text.to_owned()) } else { decoded_text(text) };
    let holds_some = |pem: &String| {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        certificates.is_ok_and(|found| !found.is_empty())
    };
    pem.filter(holds_some).ok_or_else(|| "certificates in PEM, encoded in base64".to_owned())
}

/// The same, where text is meant.
pub(crate) fn decoded_text(text: &str) -> Option<String> {
    String::from_utf8(decode_base64(text)?).ok()
}

/// Standard base64 with or without padding and line breaks. Ten lines are less than a crate.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0_u32);
    for byte in text.trim_end().trim_end_matches('=').bytes().filter(|b| !b.is_ascii_whitespace()) {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_everybody_writes_it() {
        for (text, plain) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9v\nYmFy\n", "foobar"), ("Zm8", "fo")]
        {
            assert_eq!(decoded_text(text).as_deref(), Some(plain), "{text}");
        }
        assert_eq!(decode_base64("Zm9*"), None);
        assert_eq!((decoded_text("/w=="), decode_base64("/w==")), (None, Some(vec![0xff])), "not UTF-8");
    }

    #[test]
    fn only_certificates_are_taken() {
        // The content of a PEM section is checked when the client is built; here it only has to be one.
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(root_certificates(pem), Ok(pem.to_owned()));
        let coded = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
        assert_eq!(root_certificates(coded), Ok(pem.to_owned()));
        for text in
            ["Zm9v", "***", "-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"]
        {
            assert!(root_certificates(text).is_err(), "{text}");
        }
    }
}
