//! [`watch`]: takes the newer file when there is one.
//!
//! The file is looked at, not listened to: what a look finds is right for files that are replaced by renaming, rewritten in
//! place, or reached through symbolic links that change, on every kind of file system.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::LoadError;
use crate::bridge::Shared;
use crate::edition::Edition;

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_millis(500);
/// A file is read when it stayed the same for so long: until then someone may be writing it.
const SETTLED: Duration = Duration::from_millis(100);
/// What couldn't be started is tried again, first after so long, then after twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(found: Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Looks at the plugin's file for ever. Nothing that is wrong with a newer file touches the edition that serves.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let (name, path) = (&shared.plan.settings.name, &shared.plan.path);
    let mut tried = Some(shared.current.load().template.loaded.stamp);
    let mut retry: Option<(Instant, Duration)> = None;
    loop {
        sleep(PERIOD).await;
        let found = look(path).await;
        let is_new = found != tried;
        if is_new {
            sleep(SETTLED).await;
            if look(path).await != found {
                continue;
            }
        } else if retry.is_none_or(|(at, _)| Instant::now() < at) {
            continue;
        }
        tried = found;
        let Err(error) = replace(&shared).await else {
            retry = None;
            continue;
        };
        // What it needs to start, such as a store, may be there later; the file's bytes stay what they are.
        retry = matches!(error, LoadError::Start(_)).then(|| {
            let pause = retry.filter(|_| !is_new).map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
            (Instant::now() + pause, pause)
        });
        if is_new {
            let file = path.display();
            tracing::error!(
                kind = "plugin",
                plugin = %name,
                file = %file,
                "{name}: the changed file {file} is not used, the one before goes on serving: {error}"
            );
            shared.plan.counters.refused.inc();
        }
    }
}

/// The state of the file, if it is there.
async fn look(path: &Path) -> Option<Stamp> {
    tokio::fs::metadata(path).await.ok().map(Stamp::from)
}

/// Makes an edition of what the file is now, and lets it take over unless it is what serves already.
async fn replace(shared: &Shared) -> Result<(), LoadError> {
    let loaded = shared.plan.read().await?;
    let sha256 = loaded.sha256;
    if sha256 == shared.current.load().template.loaded.sha256 {
        return Ok(());
    }
    let edition = Edition::start(&shared.plan, loaded, true).await?;
    let old = shared.current.swap(edition);
    old.pool.retire();
    let (name, file) = (&shared.plan.settings.name, shared.plan.path.display());
    let sha256 = crate::component::hex(&sha256);
    tracing::info!(kind = "plugin", plugin = %name, file = %file, sha256, "{name}: the changed file {file} serves now");
    shared.plan.counters.swaps.inc();
    Ok(())
}
