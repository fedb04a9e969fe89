//! From a module's and a function's name to the type of the call.

use anyhow::{Context as _, bail};
use drawspan_plugin_client::PluginCall;
use drawspan_wit::{Call, Leave, Module, every_call};

/// Work that is the same for every call, but for the call's type.
pub(crate) trait Visit {
    type Output;

    /// `sample` is a request of that type, as JSON.
    fn visit<C: PluginCall>(self, sample: &'static str) -> Self::Output;
}

macro_rules! functions {
    ($module:ident ; $($call:ty),*) => {
        [$((<$call>::MODULE, <$call>::LEAVE, <$call>::FUNCTION)),*].into_iter().filter(|(of, ..)| *of == $module)
    };
}

/// The functions of a module; the first is the one that is meant when none is named: a question, if it has one.
pub(crate) fn functions(module: Module) -> Vec<&'static str> {
    let mut functions: Vec<_> = every_call!(functions, module).collect();
    functions.sort_by_key(|(_, leave, _)| *leave == Leave::MESSAGE);
    functions.into_iter().map(|(.., function)| function).collect()
}

/// A module by the name that users know it by.
pub(crate) fn module(name: &str) -> Result<Module, String> {
    let found = Module::ALL.into_iter().find(|module| module.as_str() == name);
    found.ok_or_else(|| format!("no such module; there are {}", Module::ALL.map(Module::as_str).join(", ")))
}

macro_rules! visit {
    ($module:ident, $function:ident, $visitor:ident ; $($call:ty),*) => {
        $(if $module == <$call>::MODULE && $function == <$call>::FUNCTION {
            return Ok($visitor.visit::<$call>(sample(<$call>::FUNCTION)));
        })*
    };
}

/// Visits the call `function` of `module`.
pub(crate) fn visit<V: Visit>(module: Module, function: Option<&str>, visitor: V) -> anyhow::Result<V::Output> {
    let functions = functions(module);
    let function = function.or_else(|| functions.first().copied()).context("a module has a function")?;
    every_call!(visit, module, function, visitor);
    bail!("{} has no function `{function}`; it has {}", module.as_str(), functions.join(", "))
}

/// A request, as JSON.
fn sample(function: &str) -> &'static str {
    match function {
        "authenticate" => {
            r#"{"username":"alice","password":"wonder","client_address":"192.0.2.7:41806","service":"service-0"}"#
        }
        "admit" => r#"{"network":"tcp","client_address":"192.0.2.7:41806","service":"service-0"}"#,
        "contains" => {
            r#"{"network":"tcp","target_address":"example.org:443","client_id":"alice","service":"service-0"}"#
        }
        "select" => {
            r#"{"network":"tcp","target_address":"192.0.2.1:443","host":"example.org:443","client_id":"alice","source_address":"192.0.2.7:41806"}"#
        }
        "limit" => {
            r#"{"scope":"Client","service":"service-0","network":"tcp","target_address":"example.org:443","client_id":"alice","source_address":"192.0.2.7:41806"}"#
        }
        "lookup" | "resolve" => r#"{"family":"Any","host":"example.org","client_id":"alice"}"#,
        "get-rule" => r#"{"host":"example.org","service":"service-0"}"#,
        "set-rule" => {
            r#"{"host":"example.org","endpoint":"4d21094e-b74c-4916-86c1-d9fa36ea677b","service":"service-0"}"#
        }
        "get-route" => r#"{"destination":"192.0.2.1"}"#,
        "register" => r#"{"id":"c1","name":"t1","node":"n1","network":"tcp","address":"192.0.2.1:8080"}"#,
        "renew" | "deregister" => r#"{"id":"c1","name":"t1","node":"n1"}"#,
        "get-services" => r#"{"name":"t1"}"#,
        "write" => r#"{"data":"MTkyLjAuMi43","metadata":"{}"}"#,
        "observe" => {
            r#"{"events":[{"source":"Handler","service":"service-0","client_id":"alice","detail":{"Stats":{"total_connections":1,"current_connections":1,"input_bytes":10,"output_bytes":20,"total_errors":0}}}]}"#
        }
        "rewrite" => r#"{"data":"aGVsbG8=","metadata":"{\"direction\":\"response\"}"}"#,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::json;

    struct IsRequest;

    impl Visit for IsRequest {
        type Output = Option<String>;

        fn visit<C: PluginCall>(self, sample: &'static str) -> Option<String> {
            json::request::<C>(sample).err().map(|error| format!("{}: {error:#}", C::FUNCTION))
        }
    }

    #[test]
    fn every_function_has_a_sample_and_questions_come_first() {
        let mut count = 0;
        for module in Module::ALL {
            for function in functions(module) {
                assert_eq!(visit(module, Some(function), IsRequest).unwrap(), None);
                count += 1;
            }
        }
        assert_eq!(count, 17);
        assert_eq!(functions(Module::Sd), ["get-services", "register", "renew", "deregister"]);
        assert!(visit(Module::Sd, Some("authenticate"), IsRequest).is_err());
    }
}
