use crate::{Addresses, AutherKind, Backing, HostName, HttpHost, Input, RedisStore, Secret, Store, WasmPlugin, load};

/// The plugin with these keys besides its address, or the findings.
fn plugin(keys: &str) -> Result<WasmPlugin, Vec<String>> {
    let plugin = format!("{{type: wasm, addr: component.wasm, {keys}}}");
    let service = "{name: s, addr: \":0\", handler: {type: http, auther: a}, listener: {type: tcp}}";
    let text = format!("services: [{service}]\nauthers: [{{name: a, plugin: {plugin}}}]");
    let input = Input::Text { name: "test.yaml".into(), text, folder: "tests/good".into() };
    let found =
        load(&[input], false).map_err(|findings| findings.into_iter().map(|f| f.message).collect::<Vec<_>>())?;
    let AutherKind::Plugin(plugin) = &found.config.authers[0].kind else { panic!("no plugin") };
    let Backing::Wasm(wasm) = &plugin.backing else { panic!("no component") };
    Ok(wasm.clone())
}

/// Each of these is refused, with one finding that contains the text.
fn refused(cases: &[(&str, &str)]) {
    for (keys, finding) in cases {
        let findings = plugin(keys).err().unwrap_or_default();
        assert!(findings.len() == 1 && findings[0].contains(finding), "{keys}: {findings:?}");
    }
}

#[test]
fn stores_are_in_memory_or_in_redis() {
    assert_eq!(plugin("keyvalue: {}").unwrap().keyvalue, []);
    let stores = plugin("keyvalue: {Default: {type: memory}, small: {type: Memory, size: 64KiB}}").unwrap().keyvalue;
    let memory = |size| Store::Memory { size };
    assert_eq!(stores, [("Default".into(), memory(16 << 20)), ("small".into(), memory(64 << 10))]);

    let stores = plugin(
        "keyvalue: {a: {type: redis, addr: \"[::1]:1\", db: 2, username: u, password: p, prefix: \"x:\"}, b: {type: redis, addr: redis}}",
    );
    let redis =
        |host: &str, port| RedisStore { host: host.into(), port, db: 0, username: None, password: None, prefix: None };
    let a = RedisStore {
        db: 2,
        username: Some("u".into()),
        password: Some(Secret::new("p")),
        prefix: Some("x:".into()),
        ..redis("::1", 1)
    };
    let both = [("a".into(), Store::Redis(a)), ("b".into(), Store::Redis(redis("redis", 6379)))];
    assert_eq!(stores.unwrap().keyvalue, both);
}

#[test]
fn other_stores_are_refused() {
    refused(&[
        ("keyvalue: []", "keyvalue: expected a mapping"),
        ("keyvalue: {default: }", "keyvalue.default: `type` is missing"),
        ("keyvalue: {default: {size: 1MiB}}", "keyvalue.default: `type` is missing"),
        ("keyvalue: {default: {type: file}}", "unknown store type `file`"),
        ("keyvalue: {default: {type: memory, size: 1}}", "is not from 1024"),
        ("keyvalue: {default: {type: memory, prefix: x}}", "keyvalue.default.prefix: unknown key"),
        ("keyvalue: {default: {type: redis}}", "keyvalue.default: `addr` is missing"),
        ("keyvalue: {default: {type: redis, addr: \"redis://h:1\"}}", "keyvalue.default.addr: expected `host:port`"),
        ("keyvalue: {default: {type: redis, addr: \":6379\"}}", "keyvalue.default.addr: expected `host:port`"),
        ("keyvalue: {default: {type: redis, addr: \"h:0\"}}", "keyvalue.default.addr: expected `host:port`"),
        ("keyvalue: {default: {type: redis, addr: h, db: -1}}", "keyvalue.default.db: expected a whole number"),
        ("keyvalue: {default: {type: redis, addr: h, size: 1MiB}}", "keyvalue.default.size: unknown key"),
    ]);
}

#[test]
fn addresses_to_connect_to() {
    let list = "connect: [\"10.0.0.7:5432\", \"10.0.0.0/8:8000-8099\", \"[fd00::/8]:*\", \"[::1]:53\"]";
    let expected =
        [("10.0.0.7/32", 5432..=5432), ("10.0.0.0/8", 8000..=8099), ("fd00::/8", 1..=65535), ("::1/128", 53..=53)];
    let expected = expected.map(|(net, ports)| Addresses { net: net.parse().unwrap(), ports });
    assert_eq!(plugin(list).unwrap().connect, expected);
    for text in
        ["10.0.0.7", "::1", "[::1]", "example.com:80", "*:80", "10.0.0.7:0", "10.0.0.7:2-1", "10.0.0.7:x", "", ":80"]
    {
        refused(&[(&format!("connect: [\"{text}\"]"), "connect[0]: expected an address or a range, and a port")]);
    }
    refused(&[
        ("connect: [\"10.0.0.1/8:80\"]", "connect[0]: has bits behind its prefix length"),
        ("connect: \"10.0.0.1:80\"", "connect: expected a list"),
    ]);
}

#[test]
fn hosts_to_ask() {
    let list = "httpHosts: [API.example.com., \"db.example:8443\", 10.0.0.0/8, \"[fd00::1]:80\", \"::1\", \"a_b:*\"]";
    let name = |name: &str| HostName::Name(name.into());
    let net = |net: &str| HostName::Net(net.parse().unwrap());
    let expected = [
        (name("api.example.com"), None),
        (name("db.example"), Some(8443..=8443)),
        (net("10.0.0.0/8"), None),
        (net("fd00::1/128"), Some(80..=80)),
        (net("::1/128"), None),
        (name("a_b"), Some(1..=65535)),
    ];
    assert_eq!(plugin(list).unwrap().http_hosts, expected.map(|(host, ports)| HttpHost { host, ports }));
    for text in
        ["https://example.com", "example.com/path", "*.example.com", "*", "a..b", "u@h", "h:", "h:0", "[h]x", ""]
    {
        refused(&[(&format!("httpHosts: [\"{text}\"]"), "httpHosts[0]: expected a host, and a port")]);
    }
}

#[test]
fn log_lines() {
    assert_eq!(plugin("").unwrap().log.get(), 100);
    assert_eq!(plugin("log: 5/s").unwrap().log.get(), 5);
    for text in ["5", "0/s", "100001/s", "5/m", "-1/s", "[]"] {
        refused(&[(&format!("log: {text}"), "log: expected")]);
    }
}

mod mounts {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use super::{plugin, refused};
    use crate::{Input, load, overlaps};

    #[test]
    fn folders() {
        let mounts =
            plugin("mounts: [{host: ., guest: /data}, {host: ../bad, guest: /b, writable: true}]").unwrap().mounts;
        let mounts: Vec<_> = mounts.iter().map(|m| (m.host.value.as_path(), m.guest.as_str(), m.writable)).collect();
        assert_eq!(mounts, [(Path::new("tests/good/."), "/data", false), (Path::new("tests/good/../bad"), "/b", true)]);
        refused(&[
            ("mounts: [{host: .}]", "`host` and `guest` are both needed"),
            ("mounts: [{host: nowhere, guest: /a}]", "mounts[0].host: can't open the folder `tests/good/nowhere`"),
            ("mounts: [{host: component.wasm, guest: /a}]", "mounts[0].host: can't open the folder"),
            ("mounts: [{host: ., guest: a}]", "mounts[0].guest: expected a path that begins with `/`"),
            ("mounts: [{host: ., guest: /a/../b}]", "mounts[0].guest: expected a path"),
            ("mounts: [{host: ., guest: /a, mode: 7}]", "mounts[0].mode: unknown key"),
            ("mounts: [{host: ., guest: /a}, {host: ., guest: /a}]", "another mount is `/a` already"),
            ("mounts: [{host: ., guest: /a, writable: true}]", "could change the plugin `tests/good/component.wasm`"),
        ]);
    }

    /// A folder that is gone at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("drawspan-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn links_do_not_hide_an_overlap() {
        let folder = Folder::new("overlaps");
        let at = |name: &str| folder.0.join(name);
        for name in ["data/sub", "etc", "cache"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("etc/gw.yaml"), "").unwrap();
        // A link in the mount to a file outside: the link itself could be replaced.
        symlink(at("etc/gw.yaml"), at("data/link.yaml")).unwrap();
        // A way to it that goes through a link in the mount.
        symlink("../etc", at("data/etc")).unwrap();
        symlink("../data/etc/gw.yaml", at("etc/round.yaml")).unwrap();
        // Another name of the mount.
        symlink("data", at("alias")).unwrap();
        for (mount, path, expected) in [
            ("data", "etc/gw.yaml", false),
            ("etc", "etc/gw.yaml", true),
            ("", "etc/gw.yaml", true),
            ("data", "data/link.yaml", true),
            ("data", "data/etc/gw.yaml", true),
            ("data", "etc/round.yaml", true),
            ("data/sub", "etc/round.yaml", false),
            ("alias", "etc/round.yaml", true),
            ("etc/../data", "etc/round.yaml", true),
            // A folder: the mount may be it, hold it, or lie in it.
            ("cache", "cache", true),
            ("cache", "cache/not/there/yet", true),
            ("data/sub", "data", true),
            ("data", "data2", false),
        ] {
            assert_eq!(overlaps(&at(mount), &at(path)), expected, "{mount} {path}");
        }
    }

    #[test]
    fn a_component_can_not_change_the_configuration() {
        let folder = Folder::new("writable");
        let config = folder.0.join("gw.yaml");
        fs::write(folder.0.join("plugin.wasm"), "").unwrap();
        fs::create_dir(folder.0.join("data")).unwrap();
        for (mount, expected) in [(".", 1), ("data", 0)] {
            let text = format!(
                "services: [{{name: s, addr: ':0', handler: {{type: http}}}}]
authers:
- name: a
  plugin: {{type: wasm, addr: plugin.wasm, mounts: [{{host: {mount}, guest: /data, writable: true}}]}}"
            );
            fs::write(&config, text).unwrap();
            let findings = load(&[Input::File(config.clone())], true).err().unwrap_or_default();
            assert_eq!(findings.len(), expected, "{findings:?}");
            for finding in findings {
                assert!(finding.message.contains("could change the configuration"), "{finding:?}");
                assert_eq!(finding.place.line_column(), Some((4, 59)));
            }
        }
    }
}
