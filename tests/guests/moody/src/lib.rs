//! A bypass that works on some occasions: the host says which, the match in `contains` is the list.
//!
//! With the config `trap: always` it traps whatever it is asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use drawspan::plugin::types::PluginError;
use exports::drawspan::plugin::{bypass, lifecycle};

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    inline: "
        package drawspan:moody;

        world guest {
            include drawspan:plugin/bypass-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Moody);

/// How many calls this instance has begun.
static CALLS: AtomicU64 = AtomicU64::new(0);
static TRAPS_ALWAYS: AtomicBool = AtomicBool::new(false);

struct Moody;

impl lifecycle::Guest for Moody {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let always = request.config.contains(&("trap".into(), "always".into()));
        TRAPS_ALWAYS.store(always, Ordering::Relaxed);
        Ok(())
    }
}

impl bypass::Guest for Moody {
    fn contains(request: bypass::BypassRequest) -> Result<bypass::Match, PluginError> {
        let is_first = CALLS.fetch_add(1, Ordering::Relaxed) == 0;
        if TRAPS_ALWAYS.load(Ordering::Relaxed) {
            trap();
        }
        match request.host.as_deref().unwrap_or_default() {
            "trap" => trap(),
            "trap-unless-first" if !is_first => trap(),
            "refuse" => Err(PluginError::Failed("a failure was asked for".into())),
            "loop" => loop {
                std::hint::spin_loop();
            },
            _ => Ok(if is_first { bypass::Match::Matched } else { bypass::Match::Unmatched }),
        }
    }
}

/// Traps where there is no panic and no message.
fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}
