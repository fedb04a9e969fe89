//! Whole configurations: what is said about the bad ones, and that the good ones load.
//!
//! `UPDATE_GOLDEN=1 cargo test -p drawspan-config` rewrites the expected output.

use std::fs;
use std::path::{Path, PathBuf};

use drawspan_config::{CommandLine, Diagnostic, Input, Loaded, Severity, load};

/// Every password, token and the like in the test files contains this.
const SECRET: &str = "hunter2";

fn files(folder: &str) -> Vec<PathBuf> {
    let is_input = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "json");
    let folder = fs::read_dir(Path::new("tests").join(folder)).into_iter().flatten();
    let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).filter(is_input).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn render(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect::<Vec<_>>().join("\n")
}

#[test]
fn bad_configurations_say_what_is_wrong() {
    let mut failures = Vec::new();
    for path in files("bad") {
        let result = load(&[Input::File(path.clone())], false);
        let rendered = match &result {
            Ok(Loaded { warnings, .. }) => render(warnings),
            Err(diagnostics) => render(diagnostics),
        };
        assert!(!rendered.contains(SECRET), "{} shows a secret:\n{rendered}", path.display());
        assert!(!rendered.is_empty(), "{} has nothing wrong", path.display());
        let golden = path.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(golden, rendered).unwrap();
        } else if fs::read_to_string(golden).ok().as_ref() != Some(&rendered) {
            failures.push(format!("{}:\n{rendered}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn good_configurations_load() {
    for path in files("good") {
        match load(&[Input::File(path.clone())], true) {
            Ok(loaded) => assert!(!format!("{:?}", loaded.config).contains(SECRET), "{}", path.display()),
            Err(diagnostics) => panic!("{}:\n{}", path.display(), render(&diagnostics)),
        }
    }
}

/// A small deterministic generator; the quality of its numbers doesn't matter.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn load_and_render(text: &[u8]) {
    let text = String::from_utf8_lossy(text).into_owned();
    let inputs = [
        Input::Text { name: "mutant".into(), text: text.clone(), folder: "tests/good".into() },
        Input::CommandLine(CommandLine {
            listen: text.lines().next_back().map(str::to_owned).into_iter().collect(),
            forward: text.lines().next().map(str::to_owned).into_iter().collect(),
            metrics: None,
        }),
    ];
    for input in inputs {
        match load(&[input], false) {
            Ok(loaded) => drop(render(&loaded.warnings)),
            Err(diagnostics) => {
                assert!(diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
                drop(render(&diagnostics));
            }
        }
    }
}

#[test]
fn no_prefix_of_a_configuration_panics() {
    for path in files("good") {
        let text = fs::read(path).unwrap();
        // Every one would take long.
        for end in (0..text.len()).step_by(5) {
            load_and_render(&text[..end]);
        }
    }
}

#[test]
fn no_mutant_of_a_configuration_panics() {
    let mut random = Random(1);
    for path in files("good") {
        let text = fs::read(path).unwrap();
        for _ in 0..200 {
            let mut mutant = text.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(mutant.len());
                match random.below(4) {
                    0 => drop(mutant.remove(at)),
                    1 => mutant.insert(at, b":-{}[]&*!|>'\"#%@,\n\t "[random.below(19)]),
                    2 => mutant[at] = random.below(256) as u8,
                    _ => mutant.swap(at, 0),
                }
            }
            load_and_render(&mutant);
        }
    }
}
