use std::path::Path;

use super::*;
use crate::{Place, Source};

fn parse(text: &str) -> Result<Rule, String> {
    let place = Place::whole(&Source::new("test", "", Path::new("")));
    super::parse::rule(text, &place, &mut Context::new(false))
}

/// A short form of a rule that shows its structure.
fn shown(rule: &Rule) -> String {
    let all = |rules: &[Rule], operator: &str| rules.iter().map(shown).collect::<Vec<_>>().join(operator);
    match rule {
        Rule::All(rules) => format!("({})", all(rules, " & ")),
        Rule::Any(rules) => format!("({})", all(rules, " | ")),
        Rule::Not(rule) => format!("!{}", shown(rule)),
        Rule::Path(path) => path.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn and_binds_closer_than_or() {
    for (text, expected) in [
        ("Path(`/a`)", "/a"),
        (" Path ( `/a` ) ", "/a"),
        ("Path(`/a`)||Path(`/b`)&&Path(`/c`)||Path(`/d`)", "(/a | (/b & /c) | /d)"),
        ("(Path(`/a`) || Path(`/b`)) && !Path(`/c`)", "((/a | /b) & !/c)"),
        ("!(Path(`/a`) && Path(`/b`))", "!(/a & /b)"),
        ("!!Path(`/a`)", "!!/a"),
        (r#"path("/a\"\\\t")"#, "/a\"\\\t"),
        (r"Path(`/a\d`)", r"/a\d"),
    ] {
        assert_eq!(shown(&parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn every_function_has_its_arguments() {
    for (text, expected) in [
        ("ClientIP(`10.0.0.1`)", "ClientIp(10.0.0.1/32)"),
        ("ClientIP(`fd00::/8`)", "ClientIp(fd00::/8)"),
        ("Proto(`HTTP`)", "Protocol(\"http\")"),
        ("Host(`.Example.com`)", "Host(HostPattern { name: \"example.com\", subdomains: true })"),
        ("HostRegexp(`^a`)", "HostRegexp(Regex(\"^a\"))"),
        ("Method(`get`)", "Method(\"GET\")"),
        ("PathPrefix(`/a`)", "PathPrefix(\"/a\")"),
        ("PathRegexp(`a`)", "PathRegexp(Regex(\"a\"))"),
        ("Header(`A`)", "Header(\"A\", None)"),
        ("Header(`A`, `b`)", "Header(\"A\", Some(\"b\"))"),
        ("HeaderRegexp(`A`)", "HeaderRegexp(\"A\", None)"),
        ("HeaderRegexp(`A`, `b`)", "HeaderRegexp(\"A\", Some(Regex(\"b\")))"),
        ("Query(`a`, `b`)", "Query(\"a\", Some(\"b\"))"),
        ("QueryRegexp(`a`, `b`)", "QueryRegexp(\"a\", Some(Regex(\"b\")))"),
        ("Bypass(`x`)", "Bypass(\"x\")"),
        ("Admission(`x`)", "Admission(\"x\")"),
    ] {
        assert_eq!(format!("{:?}", parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, expected) in [
        ("", "expected a function such as Host(`example.com`) at the end"),
        ("Host", "expected `(` at the end"),
        ("Host(", "expected a text in backticks or double quotes at the end"),
        ("Host(`a", "the text at character 6 doesn't end"),
        ("Host(`a` `b`)", "expected `,` or `)` at character 10, found ```"),
        ("Host(`a`, `b`)", "Host at character 1: takes other arguments than 2"),
        ("Host()", "Host at character 1: takes other arguments than 0"),
        (r#"Path("/\x41")"#, "unknown escape in the text at character 6; use backticks"),
        ("Path(`/ä`) & Path(`/`)", "expected `&&` or `||` at character 12, found `&`"),
        ("Path(`/`) ||", "expected a function such as Host(`example.com`) at the end"),
    ] {
        assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    }
    assert_eq!(parse(&"!".repeat(100_000)).unwrap_err(), "nested more than 50 deep");
    assert_eq!(parse(&"(".repeat(100_000)).unwrap_err(), "nested more than 50 deep");
    assert!(parse(r"HostRegexp(`\w{1000}{1000}`)").is_err());
}
