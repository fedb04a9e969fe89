//! An authenticator that misbehaves on request: the user name says how, the match in `authenticate` is the list.
//!
//! `init` reads the config key `init`: `ok` (also when it is missing), `fail`, `trap` or `loop`.

use std::{
    hint::{black_box, spin_loop},
    sync::atomic::{AtomicU64, Ordering},
};

use drawspan::plugin::types::PluginError;
use exports::drawspan::plugin::{authenticator, lifecycle};

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    inline: "
        package drawspan:hostile;

        world guest {
            include drawspan:plugin/authenticator-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

const MIB: usize = 1 << 20;

/// How many calls of `authenticate` this instance has begun.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let wish = request.config.iter().find(|(key, _)| key == "init");
        match wish.map_or("ok", |(_, value)| value.as_str()) {
            "ok" => Ok(()),
            "fail" => Err(PluginError::InvalidRequest(
                "init fails because the config says so".into(),
            )),
            "trap" => trap(),
            "loop" => spin(),
            other => Err(PluginError::InvalidRequest(format!(
                "init: no such behaviour: {other}"
            ))),
        }
    }
}

impl authenticator::Guest for Guest {
    fn authenticate(
        request: authenticator::AuthenticationRequest,
    ) -> Result<Option<authenticator::Identity>, PluginError> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let name = request.username;
        match name.as_str() {
            "ok" => accept(name),
            "no" => Ok(None),
            "count" => accept(calls.to_string()),
            "huge" => accept("x".repeat(8 * MIB)),
            "loop" => spin(),
            "alloc-loop" => spin_with_allocations(),
            "bomb" => fill_memory(),
            "recurse" => accept(recurse(calls).to_string()),
            "trap" => trap(),
            "panic" => panic!("a panic was asked for"),
            "error-invalid" => Err(PluginError::InvalidRequest(
                "an invalid request was asked for".into(),
            )),
            "error-unavailable" => Err(PluginError::Unavailable(
                "unavailability was asked for".into(),
            )),
            "error-failed" => Err(PluginError::Failed("a failure was asked for".into())),
            _ => match name
                .strip_prefix("slow-")
                .and_then(|millions| millions.parse::<u64>().ok())
            {
                Some(millions) => {
                    count_to(millions.saturating_mul(1_000_000));
                    accept(name)
                }
                None => Err(PluginError::InvalidRequest(format!(
                    "no such behaviour: {name}"
                ))),
            },
        }
    }
}

fn accept(client_id: String) -> Result<Option<authenticator::Identity>, PluginError> {
    Ok(Some(authenticator::Identity { client_id }))
}

fn spin() -> ! {
    loop {
        spin_loop();
    }
}

/// Keeps memory use flat, so that only a deadline can end it.
fn spin_with_allocations() -> ! {
    loop {
        black_box(Vec::<u8>::with_capacity(black_box(64 << 10)));
    }
}

/// Writes to what it gets, so that the pages are really there. Ends in a trap when the memory can't grow any more.
fn fill_memory() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; MIB]);
        black_box(&hoard);
    }
}

/// Uses the host's stack: nothing here lives in linear memory, where the guest's own stack would be the first to end.
/// Rotating the result keeps the compiler from making a loop of it.
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    recurse(depth + 1).rotate_left(1) ^ depth
}

fn count_to(end: u64) {
    for i in 0..end {
        black_box(i);
    }
}

/// Traps where there is no panic and no message.
fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}
