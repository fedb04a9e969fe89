use std::path::Path;
use std::time::Duration;

use super::*;
use crate::{Source, yaml};

/// What `read` makes of `yaml`, and the errors.
fn decoded<T>(yaml: &str, read: impl Fn(&Item<'_>, &mut Context) -> T) -> (T, Vec<String>) {
    let node = yaml::parse(&Source::new("test", yaml, Path::new(""))).unwrap();
    let mut cx = Context::new(false);
    let value = read(&Item { path: "key".into(), node: &node }, &mut cx);
    (value, cx.diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect())
}

#[test]
fn durations() {
    let ms = Duration::from_millis;
    for (yaml, plain, metadata) in [
        ("10s", Some(ms(10_000)), Some(ms(10_000))),
        ("1m30s", Some(ms(90_000)), Some(ms(90_000))),
        ("1.5h", Some(ms(5_400_000)), Some(ms(5_400_000))),
        ("500ms", Some(ms(500)), Some(ms(500))),
        ("0", Some(ms(0)), Some(ms(0))),
        ("5", None, Some(ms(5_000))),
        ("'5'", None, Some(ms(5_000))),
        ("1000000", Some(ms(1)), Some(ms(1_000_000_000))),
        ("-5s", None, None),
        ("10 s", None, None),
        ("5x", None, None),
        ("''", None, None),
        ("300000h", Some(ms(1_080_000_000_000)), Some(ms(1_080_000_000_000))),
        ("3000000h", None, None),
        ("[1]", None, None),
    ] {
        for (expected, (value, errors)) in [
            (plain, decoded(yaml, |item, cx| item.duration(cx))),
            (metadata, decoded(yaml, |item, cx| item.metadata_duration(cx))),
        ] {
            assert_eq!((value, errors.len()), (expected, usize::from(expected.is_none())), "{yaml}: {errors:?}");
        }
    }
}

#[test]
fn sizes() {
    for (yaml, expected) in [
        ("64MiB", Some(64 << 20)),
        ("1KB", Some(1024)),
        ("1MB512KB", Some((1 << 20) + (512 << 10))),
        ("0.5GiB", Some(1 << 29)),
        ("1B", Some(1)),
        ("4096", Some(4096)),
        ("'4096'", None),
        ("64M", None),
        ("1kb", None),
        ("-1", None),
        ("2TB", None),
    ] {
        let (value, errors) = decoded(yaml, |item, cx| item.size(0..=1 << 40, cx));
        assert_eq!((value, errors.len()), (expected, usize::from(expected.is_none())), "{yaml}: {errors:?}");
    }
}

#[test]
fn scalars_are_converted_as_in_gost() {
    for (yaml, text) in
        [("123", "123"), ("1.10", "1.10"), ("true", "1"), ("yes", "yes"), ("0123", "0123"), ("'x'", "x")]
    {
        assert_eq!(decoded(yaml, |item, cx| item.text(cx)).0.as_deref(), Some(text));
    }
    for (yaml, boolean) in
        [("true", Some(true)), ("1", Some(true)), ("0", Some(false)), ("'t'", Some(true)), ("yes", None), ("[]", None)]
    {
        assert_eq!(decoded(yaml, |item, cx| item.boolean(cx)).0, boolean, "{yaml}");
    }
    for (yaml, integer) in [("'2'", Some(2)), ("true", Some(1)), ("11", None), ("1.5", None), ("x", None)] {
        assert_eq!(decoded(yaml, |item, cx| item.integer(0..=10, cx)).0, integer, "{yaml}");
    }
    for (yaml, names) in [("'x, y,'", &["x", "y"][..]), ("[x, 1]", &["x", "1"]), ("x", &["x"]), ("''", &[])] {
        let found: Vec<String> =
            decoded(yaml, |item, cx| item.names(cx)).0.into_iter().map(|name| name.value).collect();
        assert_eq!(found, names, "{yaml}");
    }
}

#[test]
fn free_keys_keep_their_case() {
    let (map, errors) = decoded("{A: 1, a: 2.50, b: null, a: 3}", |item, cx| item.text_map(cx));
    let map: Vec<(&str, &str)> = map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(map[..3], [("A", "1"), ("a", "2.50"), ("b", "")]);
    assert_eq!(errors, ["key: duplicate key `a`"]);
}

#[test]
fn slips_near_a_guard() {
    for (key, guard) in [
        ("authr", Some("auther")),
        ("auhters", Some("authers")),
        ("ath", Some("auth")),
        ("tsl", None),
        ("tl", Some("tls")),
        ("pluggin", Some("plugin")),
        ("climitr", Some("climiter")),
        ("path", None),
        ("retries", None),
        ("admission", Some("admission")),
    ] {
        assert_eq!(keys::guard_near(key), guard, "{key}");
    }
}
