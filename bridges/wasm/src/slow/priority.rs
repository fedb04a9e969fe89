//! [`lowest`]: a thread that runs when no other wants to.

use std::{io, mem};

/// Gives the calling thread the class `SCHED_IDLE`, for which no privilege is needed: it runs when no other thread wants the core,
/// and loses it at once when one does. A nice value isn't enough: a nice thread is left the core for some milliseconds, and threads
/// that wake up wait for it or crowd on the other cores.
///
/// # Errors
/// When the system doesn't allow it.
#[allow(unsafe_code, reason = "no crate that is in use here sets a thread's class")]
pub(super) fn lowest() -> io::Result<()> {
    // SAFETY: numbers only, for which zeroes are right: the class has no priorities.
    let parameters: libc::sched_param = unsafe { mem::zeroed() };
    // SAFETY: 0 is the calling thread; `parameters` is read during the call, and nothing is written.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_is_of_the_lowest_class_and_no_other_is() {
        let class = |thread: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).unwrap();
            // After the name, which may hold anything, from field 3; the class is field 41.
            let class = stat.rsplit_once(") ").unwrap().1.split(' ').nth(41 - 3).unwrap();
            class.parse::<i32>().unwrap()
        };
        let lowered = std::thread::spawn(move || {
            lowest().unwrap();
            class("thread-self")
        });
        assert_eq!(lowered.join().unwrap(), libc::SCHED_IDLE);
        assert_eq!(class("thread-self"), libc::SCHED_OTHER);
    }
}
