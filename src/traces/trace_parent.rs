//! The header `traceparent` (W3C Trace Context, section 3.2). `tracestate` and `baggage` are neither read nor sent.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The length of a header of version 00.
const LENGTH: usize = 55;

/// The caller's span; `None` if the header is absent, repeated or invalid.
pub(super) fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    parse(value.to_str().ok()?)
}

fn parse(text: &str) -> Option<SpanContext> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // A later version may append fields after another hyphen.
    let (head, rest) = text.split_at_checked(LENGTH)?;
    let [version, trace, span, flags] = head.split('-').collect::<Vec<_>>().try_into().ok()?;
    let has_form = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
        .into_iter()
        .all(|(field, length)| field.len() == length && is_hex(field));
    let has_version = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    if !has_form || !has_version {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

pub(super) fn write(context: &SpanContext) -> HeaderValue {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    let text = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags);
    HeaderValue::try_from(text).expect("hex digits and hyphens are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_valid_header_is_read_and_written() {
        for (text, flags) in [
            (format!("00-{TRACE}-{SPAN}-01"), "01"),
            (format!("00-{TRACE}-{SPAN}-00"), "00"),
            // Unknown flags are ignored, as are the fields of later versions.
            (format!("00-{TRACE}-{SPAN}-ff"), "01"),
            (format!("00-{TRACE}-{SPAN}-02"), "00"),
            (format!("cc-{TRACE}-{SPAN}-01"), "01"),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes-later"), "01"),
        ] {
            let context = parse(&text).unwrap_or_else(|| panic!("{text} is valid"));
            assert!(context.is_remote());
            assert_eq!(write(&context), format!("00-{TRACE}-{SPAN}-{flags}"), "{text}");
        }
    }

    #[test]
    fn an_invalid_header_is_ignored() {
        let (no_trace, no_span) = ("0".repeat(32), "0".repeat(16));
        for text in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-what-comes-later"),
            format!("cc-{TRACE}-{SPAN}-01.what-comes-later"),
            format!("00-{no_trace}-{SPAN}-01"),
            format!("00-{TRACE}-{no_span}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("0-0{TRACE}-{SPAN}-01"),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{}é-01", &SPAN[2..]),
        ] {
            assert!(parse(&text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_repeated_header_is_ignored() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(format!("00-{TRACE}-{SPAN}-01")).unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert!(read(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert!(read(&headers).is_none());
    }
}
