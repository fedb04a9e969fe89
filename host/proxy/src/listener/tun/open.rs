//! [`open`] and [`watched`]: the calls for which nothing safe is to be had.
#![allow(
    unsafe_code,
    reason = "rustix has the ioctl and tokio the file, and both leave their safety to who calls them"
)]

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use rustix::ioctl::{Updater, ioctl, opcode};
use tokio::io::unix::AsyncFd;

const DEVICE: &str = "/dev/net/tun";

/// `TUNSETIFF` (linux/if_tun.h). Its number has an int's size in it, and its argument is an interface request all the same.
const TUNSETIFF: u32 = opcode::write::<c_int>(b'T', 202);

/// IP packets, with nothing before them.
const IFF_TUN_NO_PI: u16 = 0x0001 | 0x1000;

/// `struct ifreq` (linux/if.h) with its flags; the rest of its union is longer than on any machine.
#[repr(C)]
struct Request {
    name: [u8; 16],
    _flags: u16,
    _rest: [u8; 22],
}

/// A new interface called `name`, at most 15 bytes long, or as the kernel likes; and what it is called.
///
/// # Errors
/// Without `CAP_NET_ADMIN`, or if there is such an interface already.
pub(super) fn open(name: &str) -> io::Result<(File, String)> {
    let no_device = |error: io::Error| io::Error::new(error.kind(), format!("{DEVICE}: {error}"));
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(DEVICE).map_err(no_device)?;
    let mut request = Request { name: [0; 16], _flags: IFF_TUN_NO_PI, _rest: [0; 22] };
    // The last byte stays zero.
    request.name[..15].iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    // SAFETY: `TUNSETIFF` reads a `struct ifreq` and writes it back, changed, and nothing else (tun(4),
    // `__tun_chr_ioctl`). `Request` has its layout and is no shorter: 16 bytes of name, and a union of at most 24. Any bytes
    // are a valid `Request`. `file` is open.
    unsafe { ioctl(&file, Updater::<TUNSETIFF, Request>::new(&mut request)) }?;
    let length = request.name.iter().position(|byte| *byte == 0).unwrap_or(request.name.len());
    Ok((file, String::from_utf8_lossy(&request.name[..length]).into_owned()))
}

/// A file that can be waited for, by the runtime that this is called in.
///
/// # Errors
/// If the kernel can't do that with such a file.
pub(super) fn watched(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: it must be open until the result is dropped. The result owns it and closes it; nobody here takes it out, puts
    // another in its place, or closes its descriptor.
    unsafe { AsyncFd::register(file) }.map_err(Into::into)
}
