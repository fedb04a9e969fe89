//! Finds the gateway's executable.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The `drawspan` executable: `$DRAWSPAN_BIN`, or the one of the profile and target folder that this test was built for.
/// Cargo builds that one for the tests of its own package.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::var_os("DRAWSPAN_BIN").map_or_else(beside_the_test, PathBuf::from);
        assert!(path.is_file(), "{} is not there; run the tests of the package `drawspan`", path.display());
        path
    });
    &BINARY
}

fn beside_the_test() -> PathBuf {
    // <target>/<profile>/deps/<test>
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    profile.join(format!("drawspan{}", std::env::consts::EXE_SUFFIX))
}
