use regex::Regex;

use crate::{CommandLine, Format, Input, load, render};

fn text(text: &str) -> Input {
    Input::Text { name: "test".into(), text: text.into(), folder: "tests/good".into() }
}

#[test]
fn what_is_printed_means_the_same() {
    let places = Regex::new(r"place: [^ ]+").unwrap();
    for file in ["modules", "chains", "forward", "everything"] {
        let input = Input::File(format!("tests/good/{file}.yaml").into());
        let config = |input| {
            let config = format!("{:?}", load(&[input], true).unwrap().config);
            places.replace_all(&config, "").into_owned()
        };
        let expected = config(input.clone());
        for format in [Format::Yaml, Format::Json] {
            let printed = render(std::slice::from_ref(&input), format).unwrap();
            assert_eq!(config(text(&printed)), expected, "{printed}");
            assert_eq!(render(&[text(&printed)], format).unwrap(), printed);
        }
    }
}

#[test]
fn lists_are_joined_and_sections_replaced() {
    let first = text("{services: [{name: a}], log: {level: debug, format: text}, hops: []}");
    let second =
        text("Services: [{name: 'yes', addr: ':80', x: \"a\\nb\\u0001\", num: 1.10, e: [], z: ~}]\nlog: {level: warn}");
    let yaml = "\
services:
- name: a
- name: \"yes\"
  addr: \":80\"
  x: \"a\\nb\\u0001\"
  num: 1.10
  e: []
  z: null
log:
  level: warn
hops: []
";
    assert_eq!(render(&[first.clone(), second.clone()], Format::Yaml).unwrap(), yaml);
    let json = r#"{
  "services": [
    {
      "name": "a"
    },
    {
      "name": "yes",
      "addr": ":80",
      "x": "a\nb\u0001",
      "num": 1.10,
      "e": [],
      "z": null
    }
  ],
  "log": {
    "level": "warn"
  },
  "hops": []
}
"#;
    assert_eq!(render(&[first, second], Format::Json).unwrap(), json);
}

#[test]
fn a_command_line_shows_what_it_stands_for() {
    let flags = CommandLine {
        listen: vec!["http://u:hunter2@:8080?retries=1".into()],
        forward: vec!["relay+tls://p:443".into()],
        metrics: Some(":9000".into()),
    };
    let expected = "\
services:
- name: service-0
  addr: \":8080\"
  handler:
    type: http
    chain: chain-0
    auth:
      username: u
      password: hunter2
    retries: \"1\"
  listener:
    type: tcp
chains:
- name: chain-0
  hops:
  - nodes:
    - name: node-0
      addr: \"p:443\"
      connector:
        type: relay
      dialer:
        type: tls
metrics:
  addr: \":9000\"
";
    assert_eq!(render(&[Input::CommandLine(flags)], Format::Yaml).unwrap(), expected);
    assert!(render(&[text("a: [")], Format::Yaml).is_err());
}
