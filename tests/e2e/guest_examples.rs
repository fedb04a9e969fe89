//! The guests in Rust as their READMEs present them: short, and what they show works when copied.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use drawspan_testkit::{Dir, binary, run};

/// The folders of the guests in Rust.
fn guests() -> Vec<PathBuf> {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples");
    let folders = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    let guests: Vec<_> =
        folders.filter(|folder| folder.file_name().unwrap().to_string_lossy().ends_with("-rust")).collect();
    assert_eq!(guests.len(), 13);
    guests
}

/// The contents of a README's blocks in this language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let starts = readme.split(&format!("```{language}\n") as &str).skip(1).collect::<Vec<_>>();
    starts.into_iter().map(|block| block.split("```").next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_readme_shows_works_when_copied() {
    for guest in guests() {
        let dir = Dir::new();
        for file in fs::read_dir(&guest).unwrap().map(|entry| entry.unwrap().path()).filter(|file| file.is_file()) {
            fs::copy(&file, dir.join(&file.file_name().unwrap().to_string_lossy())).unwrap();
        }
        let name = guest.display();
        let readme = fs::read_to_string(guest.join("README.md")).unwrap();
        assert!(readme.lines().count() <= 20, "{name}");

        // A whole config where there is one; else what the README shows belongs into one.
        if !dir.join("gateway.yaml").exists() {
            let service = "services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: http}}]\n";
            let shown = blocks(&readme, "yaml");
            assert_eq!(shown.len(), 1, "{name}");
            dir.write("gateway.yaml", format!("{service}{}", shown[0]));
        }
        let checked = run(dir.path(), &["check", "--strict", "-C", "gateway.yaml"]).await;
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{name}");

        for command in blocks(&readme, "sh").into_iter().flat_map(str::lines).filter(|line| line.contains(" plugin ")) {
            let line = command.replacen("drawspan", "\"$DRAWSPAN\"", 1);
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).current_dir(dir.path()).env("DRAWSPAN", binary()).env("HOME", dir.path());
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).starts_with("{\"reply\":"), "{command}");
        }
    }
}
