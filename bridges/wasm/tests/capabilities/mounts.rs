//! `mounts`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use drawspan_bridge_wasm::Mount;

use crate::support::Guest;

/// A guest that sees `folder` as `/data`.
async fn guest(folder: &Path, writable: bool) -> Guest {
    let mount = Mount { host: folder.into(), guest: "/data".into(), writable };
    Guest::start("reach.wasm", |settings| settings.mounts = vec![mount]).await
}

/// A folder `in` within another, with a file in each.
fn folders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("in/sub")).unwrap();
    fs::write(folder.path().join("outside.txt"), "outside").unwrap();
    fs::write(folder.path().join("in/a.txt"), "inside").unwrap();
    folder
}

#[tokio::test]
async fn without_one_there_is_no_file() {
    let guest = Guest::start("reach.wasm", |_| ()).await;
    assert_eq!(guest.ask("mounts", "").await.unwrap(), "");
    assert_eq!(guest.refusal("read", "/etc/passwd").await, "no mount");
}

#[tokio::test]
async fn a_folder_is_read_only_unless_it_is_writable() {
    let folder = folders();
    let inside = folder.path().join("in");
    let guest = self::guest(&inside, false).await;
    assert_eq!(guest.ask("mounts", "").await.unwrap(), "/data");
    assert_eq!(guest.ask("list", ".").await.unwrap(), "a.txt sub");
    assert_eq!(guest.ask("read", "a.txt").await.unwrap(), "inside");
    for (what, argument) in [
        ("write", "a.txt"),
        ("write", "b.txt"),
        ("remove", "a.txt"),
        ("rename", "a.txt b.txt"),
        ("link", "a.txt b.txt"),
    ] {
        let refusal = guest.refusal(what, argument).await;
        assert!(["not-permitted", "read-only"].contains(&refusal.as_str()), "{what} {argument}: {refusal}");
    }
    assert_eq!(fs::read_to_string(inside.join("a.txt")).unwrap(), "inside");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 2);

    let guest = self::guest(&inside, true).await;
    assert_eq!(guest.ask("write", "sub/b.txt").await.unwrap(), "written");
    assert_eq!(fs::read_to_string(inside.join("sub/b.txt")).unwrap(), "written by a guest");
    assert_eq!(guest.ask("remove", "a.txt").await.unwrap(), "removed");
    assert!(!inside.join("a.txt").exists());
}

#[tokio::test]
async fn no_path_leads_out() {
    let folder = folders();
    let inside = folder.path().join("in");
    symlink("../outside.txt", inside.join("relative")).unwrap();
    symlink(folder.path().join("outside.txt"), inside.join("absolute")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    let absolute = folder.path().join("outside.txt");
    let guest = self::guest(&inside, true).await;
    for path in [
        "../outside.txt",
        "sub/../../outside.txt",
        "./../in/../outside.txt",
        absolute.to_str().unwrap(),
        "/etc/passwd",
        "relative",
        "absolute",
        "up/outside.txt",
        "up/in/a.txt",
    ] {
        for what in ["read", "write"] {
            assert_eq!(guest.refusal(what, path).await, "not-permitted", "{what} {path}");
        }
    }
    for (what, argument) in [
        ("list", ".."),
        ("list", "/"),
        ("list", "up"),
        ("remove", "../outside.txt"),
        ("rename", "../outside.txt mine"),
        ("rename", "a.txt ../theirs"),
        // It can't make itself a way out either.
        ("link", "/etc/passwd passwd"),
    ] {
        assert_eq!(guest.refusal(what, argument).await, "not-permitted", "{what} {argument}");
    }
    // A link may point anywhere; what counts is where it leads when it is used.
    assert_eq!(guest.ask("link", "../outside.txt mine").await.unwrap(), "linked");
    assert_eq!(guest.refusal("read", "mine").await, "not-permitted");
    assert_eq!(fs::read_to_string(absolute).unwrap(), "outside");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_named() {
    let folder = folders();
    let guest = self::guest(&folder.path().join("in"), false).await;
    fs::remove_dir_all(folder.path().join("in")).unwrap();
    // The instance that is there still has it open; a new one can't.
    guest.ask("handles", "").await.unwrap_err();
    let error = guest.ask("ok", "").await.unwrap_err().to_string();
    assert!(error.contains("can't open the mount") && error.contains("No such file"), "{error}");
}
