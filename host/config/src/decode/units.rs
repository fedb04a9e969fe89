//! Durations and sizes as Go and GOST spell them.

use std::time::Duration;

/// Nanoseconds per unit, longest names first so that `ms` isn't read as `m`.
const DURATION_UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Bytes per unit. GOST: base 2 and case-sensitive, `KB` is `KiB`.
const SIZE_UNITS: [(&str, f64); 10] = [
    ("KiB", 1024.0),
    ("KB", 1024.0),
    ("MiB", 1_048_576.0),
    ("MB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("GB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("TB", 1_099_511_627_776.0),
    ("PiB", 1_125_899_906_842_624.0),
    ("B", 1.0),
];

/// A duration in Go's syntax, `1m30s` or `1.5h`. Negative ones are refused: no key has a use for them.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    // A Go duration is at most 2^63 nanoseconds.
    let nanos = sum(text, &DURATION_UNITS).filter(|nanos| *nanos < 9.2e18)?;
    Some(Duration::from_nanos(nanos.round() as u64))
}

/// A size in bytes, `64MiB` or `1MB512KB`; a unit is required.
pub(crate) fn size(text: &str) -> Option<u64> {
    let bytes = sum(text, &SIZE_UNITS).filter(|bytes| *bytes < 9.2e18)?;
    Some(bytes.round() as u64)
}

/// The sum of a sequence of decimals, each followed by one of `units`.
fn sum(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let (unit, factor) = units.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        total += number * factor;
        rest = &rest[digits + unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}
