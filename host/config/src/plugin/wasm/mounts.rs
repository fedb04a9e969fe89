//! `mounts`: folders that a component sees, and which of them it may not change.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::decode::{Context, Item, Object, Unknown};
use crate::{At, Diagnostic};

/// A folder that a component sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// The folder; it was there when the configuration was loaded.
    pub host: At<PathBuf>,
    /// What the component calls it; begins with `/`.
    pub guest: String,
    /// Whether the component may change what is in it. Default false.
    pub writable: bool,
}

pub(super) fn decode(item: &Item<'_>, cx: &mut Context) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for item in item.elements(cx) {
        let Some(mount) = mount(&item, cx) else { continue };
        if mounts.iter().any(|other| other.guest == mount.guest) {
            cx.push(item.error(format!("another mount is `{}` already", mount.guest)));
        }
        mounts.push(mount);
    }
    mounts
}

fn mount(item: &Item<'_>, cx: &mut Context) -> Option<Mount> {
    let mut object = Object::new(item, cx)?;
    let (host, guest) = (object.take("host"), object.take("guest"));
    let writable = object.take("writable").and_then(|item| item.boolean(cx)).unwrap_or(false);
    if host.is_none() || guest.is_none() {
        cx.push(object.error("`host` and `guest` are both needed").with_help("write `{host: ./data, guest: /data}`"));
    }
    object.finish(&[], Unknown::Refuse, cx);
    let (host, guest) = (host?, guest?);
    let folder = host.in_folder(&host.text(cx)?);
    if let Err(error) = fs::read_dir(&folder) {
        cx.push(host.error(format!("can't open the folder `{}`: {error}", folder.display())));
        return None;
    }
    let name = guest.text(cx)?;
    if !name.starts_with('/') || Path::new(&name).components().any(|part| part == Component::ParentDir) {
        cx.push(guest.error("expected a path that begins with `/`, without `..`"));
        return None;
    }
    let host = host.at(folder);
    if writable {
        cx.files.writable(&host);
    }
    Some(Mount { host, guest: name, writable })
}

/// Files that no component may change, and what components may change.
#[derive(Default)]
pub(crate) struct Files {
    plugins: Vec<PathBuf>,
    writable: Vec<At<PathBuf>>,
}

impl Files {
    pub(super) fn plugin(&mut self, file: &Path) {
        self.plugins.push(file.to_path_buf());
    }

    fn writable(&mut self, folder: &At<PathBuf>) {
        self.writable.push(folder.clone());
    }

    /// Finds mounts through which a component could change a plugin or the configuration, which is what `configs` are: it
    /// could give itself what it wasn't granted.
    pub(crate) fn check<'a>(&self, configs: impl Iterator<Item = &'a Path> + Clone) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for folder in &self.writable {
            let plugins = self.plugins.iter().map(|file| (file.as_path(), "the plugin"));
            let mut guarded = configs.clone().map(|file| (file, "the configuration")).chain(plugins);
            if let Some((file, what)) = guarded.find(|(file, _)| overlaps(folder, file)) {
                let message =
                    format!("a component could change {what} `{}` through this writable mount", file.display());
                let help = "mount another folder, or leave out `writable`";
                found.push(Diagnostic::error(&folder.place, message).with_help(help));
            }
        }
        found
    }
}

/// Whether who may change what is in `folder` may change what `path` leads to, or whether `folder` lies in it. Links are
/// followed, and are themselves looked at: one of them in `folder` could be made to lead elsewhere. What doesn't exist yet
/// counts as well.
#[must_use]
pub fn overlaps(folder: &Path, path: &Path) -> bool {
    let (_, folder) = steps(folder);
    let (links, path) = steps(path);
    folder.starts_with(&path) || links.iter().chain([&path]).any(|step| step.starts_with(&folder))
}

/// The links on the way to `path`, and where it leads in the end.
fn steps(path: &Path) -> (Vec<PathBuf>, PathBuf) {
    let components = |path: &Path| -> Vec<OsString> {
        path.components().rev().map(|component| component.as_os_str().to_owned()).collect()
    };
    let mut rest = components(&std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    let (mut at, mut links) = (PathBuf::new(), Vec::new());
    while let Some(component) = rest.pop() {
        if component == ".." {
            at.pop();
            continue;
        }
        // The root replaces what is there.
        at.push(&component);
        // As many as Linux follows.
        if links.len() < 40
            && let Ok(target) = fs::read_link(&at)
        {
            links.push(at.clone());
            at.pop();
            rest.extend(components(&target));
        }
    }
    (links, at)
}
