//! From when to when a certificate is valid: a walk through its DER to two dates, and no step further.

use crate::calendar::{date, seconds_of};
use crate::diagnose::finding::Judgement;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// `[0]`, in which the version stands where it is not the first.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A certificate that ends sooner is told, days.
const SOON_DAYS: i64 = 14;
const DAY_S: i64 = 86_400;

/// The two dates, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before: i64,
    pub not_after: i64,
}

/// Reads them (RFC 5280, 4.1). `None` for what is no certificate.
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut body, _) = expect(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = expect(body, VERSION)?.1;
    }
    // Serial number, algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        body = expect(body, tag)?.1;
    }
    let (dates, _) = expect(body, SEQUENCE)?;
    let (first, rest) = element(dates)?;
    let (second, _) = element(rest)?;
    Some(Validity { not_before: time(first)?, not_after: time(second)? })
}

/// A tag with its content, and what follows.
type Element<'a> = ((u8, &'a [u8]), &'a [u8]);

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // No certificate is longer than two bytes can tell three times over.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((*tag, content), rest))
}

fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let ((found, content), rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// `YYMMDDHHMMSSZ`, with two digits of the year from 1950 on, or `YYYYMMDDHHMMSSZ`.
fn time((tag, content): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    })?;
    if rest.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year: i64 = year.parse().ok()?;
    let year = match (tag, year) {
        (UTC_TIME, 50..) => 1900 + year,
        (UTC_TIME, _) => 2000 + year,
        _ => year,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    seconds_of([year, two(0)?, two(2)?], [two(4)?, two(6)?, two(8)?])
}

/// What a server showed and whether it is trusted.
pub(super) fn judge(host: &str, chain: &[Validity], refused: Option<&str>, now_s: i64) -> Judgement {
    let Some(first) = chain.iter().min_by_key(|one| one.not_after) else {
        let cause = refused.unwrap_or("no certificate was shown");
        return Judgement::failed(format!("{host}: {cause}"), "something in between answers, or the server does not speak TLS");
    };
    let left = first.not_after.saturating_sub(now_s);
    let until = date(first.not_after.div_euclid(DAY_S));
    let renew = "renew it on the server; if it is valid, the device's clock is wrong";
    if left <= 0 {
        return Judgement::failed(format!("the certificate of {host} ended on {until}"), renew);
    }
    if let Some(early) = chain.iter().find(|one| one.not_before > now_s) {
        let from = date(early.not_before.div_euclid(DAY_S));
        return Judgement::failed(
            format!("the certificate of {host} begins only on {from}"),
            "the device's clock is wrong: see the check clock",
        );
    }
    if let Some(cause) = refused {
        return Judgement::failed(
            format!("the certificate of {host} (until {until}) is not trusted: {cause}"),
            "a firewall that opens connections shows one of its own: let the device pass, or put its authority's certificate into \
             balenaRootCA in config.json; a wrong name speaks of a wrong apiEndpoint",
        );
    }
    let sentence = format!("the certificate of {host} is trusted and valid until {until}");
    if left < SOON_DAYS * DAY_S {
        Judgement::warning(format!("{sentence}, {} days from now", left / DAY_S), renew)
    } else {
        Judgement::ok(sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use std::process::Command;

    const AUTHORITY: &str = include_str!("../../http/testdata/own-ca.pem");
    const SERVER: &str = include_str!("../../http/testdata/server.pem");

    fn der(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    /// What openssl, another implementation, says of the same dates.
    fn openssl(pem: &str) -> Validity {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.pem");
        std::fs::write(&file, pem).unwrap();
        let script = "date -u -d \"$(openssl x509 -in \"$1\" -noout -startdate | cut -d= -f2)\" +%s; \
                      date -u -d \"$(openssl x509 -in \"$1\" -noout -enddate | cut -d= -f2)\" +%s";
        let said = Command::new("bash").args(["-euc", script, "bash"]).arg(&file).output().unwrap();
        let text = String::from_utf8(said.stdout).unwrap();
        let mut numbers = text.lines().map(|line| line.parse().unwrap());
        Validity { not_before: numbers.next().unwrap(), not_after: numbers.next().unwrap() }
    }

    fn made(days: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k -subj /CN=x -days {days} -out c.pem 2>/dev/null"
        );
        assert!(Command::new("bash").args(["-euc", &script]).current_dir(folder.path()).status().unwrap().success());
        std::fs::read_to_string(folder.path().join("c.pem")).unwrap()
    }

    #[test]
    fn the_dates_are_those_that_openssl_reads() {
        // The last ends after 2049, where the other way to write a date begins.
        for pem in [AUTHORITY.to_owned(), SERVER.to_owned(), made("3"), made("20000")] {
            assert_eq!(validity(&der(&pem)), Some(openssl(&pem)));
        }
    }

    #[test]
    fn a_certificate_cut_anywhere_is_none_or_the_same() {
        let whole = der(SERVER);
        let known = validity(&whole);
        for end in 0..whole.len() {
            assert!(validity(&whole[..end]).is_none(), "{end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            let _ = validity(&changed);
        }
        assert!(known.is_some());
    }

    #[test]
    fn certificates_at_their_edges() {
        let one = |not_before, not_after| Validity { not_before, not_after };
        let verdict = |chain: &[Validity], refused| judge("h", chain, refused, 1000 * DAY_S).verdict;
        assert_eq!(verdict(&[one(0, 1014 * DAY_S)], None), Verdict::Ok);
        assert_eq!(verdict(&[one(0, 1014 * DAY_S - 1)], None), Verdict::Warning);
        assert_eq!(verdict(&[one(0, 1000 * DAY_S)], None), Verdict::Failed);
        assert_eq!(verdict(&[one(1000 * DAY_S + 1, 2000 * DAY_S)], None), Verdict::Failed);
        assert_eq!(
            verdict(&[one(0, 2000 * DAY_S), one(0, 1001 * DAY_S)], None),
            Verdict::Warning,
            "the chain's first to end counts"
        );
        assert_eq!(verdict(&[one(0, 2000 * DAY_S)], Some("UnknownIssuer")), Verdict::Failed);
        assert_eq!(verdict(&[], None), Verdict::Failed);
        assert_eq!(verdict(&[one(i64::MIN, i64::MAX)], None), Verdict::Ok);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = validity(&bytes);
            let mut wrapped = vec![SEQUENCE, 0x82, (bytes.len() >> 8) as u8, bytes.len() as u8];
            wrapped.extend_from_slice(&bytes);
            let _ = validity(&wrapped);
        }

        #[test]
        fn no_change_of_a_real_one_makes_it_panic(at in 0usize..600, value in any::<u8>(), cut in 0usize..700) {
            let mut bytes = der(SERVER);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(cut);
            let _ = validity(&bytes);
        }

        #[test]
        fn no_text_of_a_date_makes_it_panic(tag in prop_oneof![Just(UTC_TIME), Just(GENERALIZED_TIME), any::<u8>()], text in "\\PC{0,20}Z?") {
            let _ = time((tag, text.as_bytes()));
        }
    }
}
