//! Finds the gateway's executable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The `drawspan` executable: `$DRAWSPAN_BIN`, or the one of the profile and target folder that this test was built for.
///
/// Cargo neither names nor builds another package's executable for a test, so this builds it, once per test process. Without
/// a change that takes a moment, and it rules out testing yesterday's gateway.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("DRAWSPAN_BIN") {
        Some(path) => path.into(),
        None => build(),
    });
    &BINARY
}

fn build() -> PathBuf {
    // <target>/<profile>/deps/<test>
    let test = std::env::current_exe().expect("the path of this test");
    let profile_dir = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let target_dir = profile_dir.parent().expect("a profile lies in the target folder");
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()).expect("a profile's name is UTF-8") {
        "debug" => "dev",
        name => name,
    };
    // All packages, since the features of a dependency are the union over the packages selected: `-p drawspan` alone would
    // build half of the tree a second time.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bin", "drawspan", "--profile", profile, "--target-dir"])
        .arg(target_dir)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the gateway doesn't build; set DRAWSPAN_BIN to test one that is built already");
    profile_dir.join(format!("drawspan{}", std::env::consts::EXE_SUFFIX))
}
