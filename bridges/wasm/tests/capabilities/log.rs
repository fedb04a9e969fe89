//! `log`.

use std::num::NonZeroU32;

use crate::support::{Guest, PATIENCE, keep_log, logged};

async fn guest(name: &str) -> Guest {
    keep_log();
    Guest::start("reach.wasm", |settings| {
        settings.name = name.into();
        settings.log = NonZeroU32::new(10).unwrap();
        settings.instances = 1;
    })
    .await
}

/// How many lines the log says were dropped, each time that it says so.
fn dropped(name: &str) -> Vec<u64> {
    let told = |line: &String| line.split_once(" lines dropped: more than 10 a second (log)")?.0.parse().ok();
    logged(name).iter().filter_map(told).collect()
}

#[tokio::test]
async fn a_flood_is_cut_off_and_counted_once_a_second() {
    let guest = guest("flood").await;
    assert_eq!(guest.ask("flood", "500").await.unwrap(), "flooded");
    tokio::time::timeout(PATIENCE, async {
        while dropped("flood").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("nothing is said about what was dropped");
    let kept = logged("flood").iter().filter(|line| line.starts_with("line ")).count();
    let counts = dropped("flood");
    // On a slow machine the flood may last longer than a second.
    assert!(kept >= 10 && counts.len() <= 1 + kept / 10, "{kept} {counts:?}");
    assert_eq!(kept as u64 + counts.iter().sum::<u64>(), 500);
}

#[tokio::test]
async fn a_line_without_an_end_is_cut() {
    let guest = guest("endless-line").await;
    // 8 MiB.
    assert_eq!(guest.ask("endless-line", "2048").await.unwrap(), "printed");
    let lines = logged("endless-line");
    let longest = lines.iter().map(String::len).max().unwrap_or_default();
    assert_eq!(longest, 4096);
}

#[tokio::test]
async fn a_line_is_one_line_whatever_is_in_it() {
    let guest = guest("forged").await;
    assert_eq!(guest.ask("print", "one\r\u{1b}[31m\u{7}two\0\nthree").await.unwrap(), "printed");
    drop(guest);
    assert_eq!(logged("forged"), ["one  [31m two ", "three"]);
}
