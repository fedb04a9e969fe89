//! Whether a component keeps memory with each call.
//!
//! Measured is what this process has for itself (`Anonymous` of Linux's `smaps_rollup`): the memory of the component's instance
//! and that of the host around it. Both settle after some calls. A runtime that collects its garbage does so when some MiB of it
//! are there. Only a leak makes it more in every round.

use std::fs;

/// What counts as more: a page of WebAssembly. What leaks less than that in a round isn't seen.
const MORE: u64 = 64 << 10;

/// The memory after each round of calls, in bytes.
#[derive(Default)]
pub(crate) struct Rounds(Vec<u64>);

impl Rounds {
    /// A round is over.
    pub(crate) fn over(&mut self) {
        self.0.extend(held());
    }

    /// How much more it is than after the first round, in bytes.
    pub(crate) fn more(&self) -> u64 {
        self.0.last().zip(self.0.first()).map_or(0, |(last, first)| last.saturating_sub(*first))
    }

    /// What is wrong, if there was more memory after each round but the first, in which a plugin warms up.
    pub(crate) fn leak(&self, calls: usize) -> Option<String> {
        let grown: Option<Vec<u64>> =
            self.0.windows(2).map(|pair| pair[1].checked_sub(pair[0]).filter(|more| *more >= MORE)).collect();
        let grown = grown.filter(|grown| grown.len() > 1)?;
        let (all, rounds) = (grown.iter().sum::<u64>(), grown.len());
        let each = all / (rounds * calls) as u64;
        Some(format!("a call keeps about {each} bytes: {rounds} times {calls} calls took another {} KiB", all >> 10))
    }
}

/// `None` where the system doesn't tell.
fn held() -> Option<u64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_in_each_round_is_a_leak() {
        for (rounds, leaks) in [
            (&[][..], false),
            (&[1], false),
            (&[1, 9], false),
            (&[1, 9, 9, 9], false),
            (&[1, 2, 3, 3, 4], false),
            (&[1, 5, 9, 2, 6], false),
            (&[1, 2, 3, 4, 5], true),
            (&[9, 10, 12, 13, 15], true),
        ] {
            let rounds = Rounds(rounds.iter().map(|pages| pages * MORE).collect());
            assert_eq!(rounds.leak(100).is_some(), leaks, "{:?}", rounds.0);
        }
        let text = Rounds(vec![0, 1 << 20, 2 << 20]).leak(1024);
        assert_eq!(text.unwrap(), "a call keeps about 1024 bytes: 2 times 1024 calls took another 2048 KiB");
        assert!(held().is_some_and(|bytes| bytes > 0));
    }
}
