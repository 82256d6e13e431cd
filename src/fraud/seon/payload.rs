//! Recognises payloads of SEON's fingerprinting libraries.
//!
//! They have fields separated by semicolons: a platform (`Web`, newer ones `W`), a session id or a version, then
//! Base64. Only the shape is checked: the contents are encrypted for SEON, and later libraries may use other platform
//! names.

/// Minimum of fields after the session: initialisation vector and ciphertext.
const SEALED_FIELDS_MIN: usize = 2;

/// The longest accepted platform name.
const PLATFORM_MAX: usize = 16;

/// Whether `device_data` has the shape of a SEON payload.
#[must_use]
pub fn has_seon_shape(device_data: &str) -> bool {
    let fields: Vec<&str> = device_data.split(';').collect();
    let [platform, session, sealed @ ..] = fields.as_slice() else { return false };
    is_platform(platform)
        && is_session(session)
        && sealed.len() >= SEALED_FIELDS_MIN
        && sealed.iter().all(|field| is_base64(field))
}

fn is_platform(field: &str) -> bool {
    (1..=PLATFORM_MAX).contains(&field.len()) && field.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_session(field: &str) -> bool {
    !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// The alphabet of RFC 4648 section 4, with padding only at the end. The length is not checked: SEON's documentation
/// shortens samples.
fn is_base64(field: &str) -> bool {
    let data = field.trim_end_matches('=');
    !data.is_empty()
        && field.len() - data.len() <= 2
        && data.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn payloads_of_seon_libraries_are_recognised() {
        for payload in [
            "Web;179ac83968ab42f79e960c1753a4078fdcon;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf/zbau0P",
            "W;6.9.0;Y9Imc4U1Itgb7IxVdDuDCA==;YSaRSsfJWDgHLygYxt0rWmwiKHf7zS3Dj8QgTHeyuE0=",
            "Android;0b1c-22;jVl14emA+OcyALb9F+CMFg==;NU7aFh0j;c2lnbg==",
            "iOS;session_1;AAAA;BBBB",
        ] {
            assert!(has_seon_shape(payload), "{payload}");
        }
    }

    #[test]
    fn other_strings_are_not_recognised() {
        for data in [
            "YW55IHN0cmluZyBwcm92aWRlZCBieSB0aGUgY2xpZW50Cg==",
            "",
            ";;;",
            "Web",
            "Web;session;AAAA",
            "Web;;AAAA;BBBB",
            "Web;session;AAAA;",
            "Web;session;AA AA;BBBB",
            "Web;session;AAAA;====",
            "Web2;session;AAAA;BBBB",
            "a;b;c d;e",
            "text/html; charset=utf-8; q=1; a",
            r#"{"os":"Android";"id":1;"a":2;"b":3}"#,
        ] {
            assert!(!has_seon_shape(data), "{data}");
        }
    }

    proptest! {
        #[test]
        fn recognition_never_panics(data in any::<String>()) {
            let _ = has_seon_shape(&data);
        }
    }
}
