//! What can be reached through the first mount.

use std::mem::forget;

use wasip2::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
};

use crate::{Outcome, drain, put};

/// The mounts' names.
pub(crate) fn mounts() -> Outcome {
    Ok(get_directories().into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" "))
}

fn root() -> Result<Descriptor, String> {
    get_directories().into_iter().next().map(|(root, _)| root).ok_or_else(|| "no mount".into())
}

fn open(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, String> {
    root()?.open_at(PathFlags::SYMLINK_FOLLOW, path, open, flags).map_err(named)
}

pub(crate) fn read(path: &str) -> Outcome {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ)?;
    Ok(drain(&file.read_via_stream(0).map_err(named)?))
}

pub(crate) fn write(path: &str) -> Outcome {
    let file = open(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE)?;
    put(&file.write_via_stream(0).map_err(named)?, b"written by a guest")?;
    Ok("written".into())
}

pub(crate) fn list(path: &str) -> Outcome {
    let folder = open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
    let entries = folder.read_directory().map_err(named)?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read_directory_entry().map_err(named)? {
        names.push(entry.name);
    }
    names.sort();
    Ok(names.join(" "))
}

pub(crate) fn remove(path: &str) -> Outcome {
    root()?.unlink_file_at(path).map_err(named)?;
    Ok("removed".into())
}

/// `TARGET NAME`: a symbolic link.
pub(crate) fn link(argument: &str) -> Outcome {
    let (target, name) = argument.split_once(' ').unwrap_or((argument, "link"));
    root()?.symlink_at(target, name).map_err(named)?;
    Ok("linked".into())
}

/// `OLD NEW`.
pub(crate) fn rename(argument: &str) -> Outcome {
    let (old, new) = argument.split_once(' ').unwrap_or((argument, "new"));
    let root = root()?;
    root.rename_at(old, &root, new).map_err(named)?;
    Ok("renamed".into())
}

/// Opens a file until the end of it.
pub(crate) fn open_many(path: &str) -> Outcome {
    loop {
        forget(open(path, OpenFlags::empty(), DescriptorFlags::READ)?);
    }
}

fn named(error: ErrorCode) -> String {
    error.name().into()
}
