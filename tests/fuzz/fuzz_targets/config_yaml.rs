//! A config file: loaded or refused without a panic, and every finding can be shown.

#![no_main]

use drawspan_config::{Input, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let input = Input::Text { name: "gateway.yaml".into(), text: text.into(), folder: "no-such-folder".into() };
    match load(&[input], false) {
        Ok(loaded) => loaded.warnings.iter().for_each(|warning| drop(warning.to_string())),
        Err(findings) => {
            assert!(!findings.is_empty());
            findings.iter().for_each(|finding| drop(finding.to_string()));
        }
    }
});
