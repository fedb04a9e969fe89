//! `drawspan plugin new`: what it writes, and what it refuses. Building the projects takes other tools: see `.ci/plugin-new`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use drawspan_testkit::{Dir, run};

const LANGUAGES: [&str; 5] = ["rust", "go", "c", "js", "python"];
const MODULES: [&str; 13] = [
    "auther",
    "admission",
    "bypass",
    "hop",
    "limiter",
    "hosts",
    "resolver",
    "ingress",
    "router",
    "sd",
    "recorder",
    "observer",
    "rewriter",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_module_has_a_project_in_every_language() {
    let dir = Dir::new();
    for language in LANGUAGES {
        for module in MODULES {
            let written = run(dir.path(), &["plugin", "new", language, module]).await;
            assert_eq!(written.code, Some(0), "{language} {module}: {}", written.stderr);
            let project = dir.join(&format!("{module}-{language}"));
            let files = files(&project);
            let text = |name: &str| fs::read_to_string(project.join(name)).unwrap();
            for file in &files {
                assert!(
                    !fs::read_to_string(file).unwrap().contains("{{"),
                    "a placeholder is left in {}",
                    file.display()
                );
            }
            let readme = text("README.md");
            assert!(
                readme.lines().count() <= 25
                    && readme.contains("drawspan plugin verify plugin.wasm --expect cases.yaml")
            );
            let source = readme.split('`').nth(1).unwrap();
            assert!(project.join(source).is_file(), "{language} {module}: README.md is about {source}");
            assert_eq!(fs::metadata(project.join("build.sh")).unwrap().permissions().mode() & 0o111, 0o111);
            assert!(text("cases.yaml").contains("request: {\""));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_of_a_project_is_whole() {
    let dir = Dir::new();
    for module in MODULES {
        run(dir.path(), &["plugin", "new", "c", module]).await;
        // Reads the WIT, the plugin's own world and the contract that it includes.
        let project = dir.join(&format!("{module}-c"));
        for language in ["c", "go"] {
            let bindings = run(&project, &["plugin", "bindings", language, "--out", language]).await;
            assert_eq!(bindings.code, Some(0), "{module}: {}", bindings.stderr);
        }
        let exports = fs::read_to_string(project.join("go/wit_exports.go")).unwrap();
        let functions = exports.matches("//go:wasmexport drawspan:").count();
        assert_eq!(exports.matches("collectGarbage()").count(), functions, "{module}");
        assert!(
            functions >= 2 && project.join("go/gc.go").is_file() && project.join("c/guest.h").is_file(),
            "{module}"
        );
    }
}

/// Nothing but the missing component, and what the gateway itself lacks so far, is wrong with the configs.
#[tokio::test(flavor = "multi_thread")]
async fn the_config_of_a_project_is_right() {
    let dir = Dir::new();
    for module in MODULES {
        run(dir.path(), &["plugin", "new", "js", module]).await;
        let checked = run(&dir.join(&format!("{module}-js")), &["check", "-C", "gateway.yaml"]).await;
        assert_eq!(checked.code, Some(2), "{module}: {}", checked.stderr);
        for line in checked.stderr.lines().filter(|line| line.contains("error") || line.contains("warning")) {
            let expected = ["plugin.wasm", "not implemented"].iter().any(|text| line.contains(text));
            assert!(expected, "{module}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten() {
    let dir = Dir::new();
    fs::create_dir(dir.join("mine")).unwrap();
    fs::write(dir.join("mine/build.sh"), "mine").unwrap();
    let refused = run(dir.path(), &["plugin", "new", "c", "bypass", "mine"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("mine/build.sh is there already; nothing was written"), "{}", refused.stderr);
    assert_eq!(files(&dir.join("mine")).len(), 1);
    // What has other names is no obstacle.
    fs::remove_file(dir.join("mine/build.sh")).unwrap();
    fs::write(dir.join("mine/notes"), "mine").unwrap();
    assert_eq!(run(dir.path(), &["plugin", "new", "c", "bypass", "mine"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_to_choose_from_is_said() {
    let dir = Dir::new();
    for (args, choice) in
        [(["cobol", "bypass"], "rust, go, c, js, python"), (["c", "authenticator"], "auther, admission")]
    {
        let refused = run(dir.path(), &[&["plugin", "new"][..], &args].concat()).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(choice), "{}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_no_plugin_is_refused() {
    let dir = Dir::new();
    run(dir.path(), &["plugin", "new", "c", "bypass", "."]).await;
    fs::write(dir.join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let refused = run(dir.path(), &["plugin", "component", "core.wasm", "-o", "plugin.wasm"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("core.wasm is not a module that implements the world of wit"),
        "{}",
        refused.stderr
    );
    assert!(!dir.join("plugin.wasm").exists());

    let refused = run(dir.path(), &["plugin", "bindings", "c", "--wit", "nowhere"]).await;
    assert!(refused.stderr.contains("nowhere: `drawspan plugin new` writes one"), "{}", refused.stderr);
}
