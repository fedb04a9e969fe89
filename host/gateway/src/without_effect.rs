//! Keys of a `plugin:` block that are right in themselves and do nothing for its module.

use drawspan_config::{Backing, Diagnostic, OnError, Plugin};
use drawspan_wit::Module;

/// A warning at each such key of the block called `name`. Blocks within are looked at by themselves.
pub(crate) fn without_effect(name: &str, module: Module, plugin: &Plugin) -> impl Iterator<Item = Diagnostic> {
    let Plugin { backing, retries, cache, fallback, shadow, on_error, trusted, .. } = plugin;
    let leave = module.leave();
    let is_component = matches!(backing, Backing::Wasm(_));
    let fallback = fallback.as_ref().filter(|_| is_component);
    let allow = on_error.as_ref().filter(|on| is_component && module.lets_in() && on.value == OnError::Allow);
    let retries = retries.as_ref().filter(|retries| !leave.repeat && retries.value > 0);
    let cache = cache.as_ref().filter(|_| !leave.cache);
    let shadow = shadow.as_ref().filter(|_| !leave.shadow);
    let on_error = on_error.as_ref().filter(|_| !module.heeds_on_error());
    let trusted = trusted.as_ref().filter(|trusted| trusted.value && module != Module::Hop);
    let of_kind = format!("a plugin of kind {}", module.as_str());
    let component = || "a component".to_owned();
    [
        retries.map(|retries| (&retries.place, "retries", of_kind.clone(), "no question to it is asked twice")),
        cache.map(|cache| (&cache.place, "cache", of_kind.clone(), "no reply of it is kept")),
        fallback.map(|fallback| (&fallback.place, "fallback", component(), "it can always be reached")),
        shadow.map(|shadow| (&shadow.plugin.place, "shadow", of_kind.clone(), "no call to it is made twice")),
        on_error.map(|on_error| (&on_error.place, "onError", of_kind.clone(), "a failure of it always means the same")),
        allow.map(|on_error| (&on_error.place, "onError: allow", component(), "it can always be reached")),
        trusted.map(|trusted| (&trusted.place, "trusted", of_kind.clone(), "it doesn't name nodes")),
    ]
    .into_iter()
    .flatten()
    .map(move |(place, key, what, why)| {
        Diagnostic::warning(place, format!("`{name}`: `{key}` has no effect on {what}: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use drawspan_config::{Input, load_plugin};

    use super::*;

    const ALL: &str = "addr: :1
retries: 1
cache: {ttl: 1s}
onError: deny
shadow: {addr: :2}
trusted: true
";

    /// The keys that are warned about, by their lines.
    fn warned(module: Module, text: &str) -> Vec<&'static str> {
        let input = Input::Text { name: "test.yaml".into(), text: text.into(), folder: "".into() };
        let (plugin, _) = load_plugin(&input).unwrap_or_else(|errors| panic!("{errors:?}"));
        let warnings = without_effect("plugin-0", module, &plugin);
        let lines = warnings.map(|warning| warning.place.line_column().map_or(0, |(line, _)| line));
        lines.map(|line| ["", "", "retries", "cache", "onError", "shadow", "trusted"][line]).collect()
    }

    #[test]
    fn what_a_module_has_no_use_for_is_warned_about_at_its_place() {
        let nothing: &[&str] = &[];
        let untrusted: &[&str] = &["trusted"];
        for (module, keys) in [
            (Module::Auther, &["retries", "trusted"] as &[_]),
            (Module::Admission, untrusted),
            (Module::Bypass, untrusted),
            (Module::Hop, nothing),
            (Module::Limiter, untrusted),
            (Module::Hosts, untrusted),
            (Module::Resolver, &["onError", "trusted"]),
            (Module::Ingress, &["onError", "trusted"]),
            (Module::Router, &["onError", "trusted"]),
            (Module::Sd, &["onError", "trusted"]),
            (Module::Recorder, &["retries", "cache", "shadow", "onError", "trusted"]),
            (Module::Observer, &["retries", "cache", "shadow", "onError", "trusted"]),
            (Module::Rewriter, &["retries", "cache", "onError", "trusted"]),
        ] {
            assert_eq!(warned(module, ALL), keys, "{module:?}");
            assert_eq!(warned(module, "{addr: ':1', retries: 0}"), nothing);
        }
    }
    #[test]
    fn what_waits_for_a_component_to_be_away_is_warned_about() {
        let messages = |module, text: &str| -> Vec<String> {
            let input = Input::Text { name: "test.yaml".into(), text: text.into(), folder: "".into() };
            let (plugin, _) = load_plugin(&input).unwrap_or_else(|errors| panic!("{errors:?}"));
            without_effect("p", module, &plugin).map(|warning| warning.message).collect()
        };
        let component = "{type: wasm, addr: ./Cargo.toml, onError: allow, fallback: {addr: ':1'}}";
        let fallback = "`p`: `fallback` has no effect on a component: it can always be reached";
        let allow = "`p`: `onError: allow` has no effect on a component: it can always be reached";
        assert_eq!(messages(Module::Auther, component), [fallback, allow]);
        assert_eq!(messages(Module::Admission, &component.replace("allow", "deny")), [fallback]);
        assert_eq!(messages(Module::Bypass, component), [fallback]);
        assert!(
            messages(Module::Auther, "{addr: ':1', onError: allow, fallback: {type: wasm, addr: ./Cargo.toml}}")
                .is_empty()
        );
    }
}
