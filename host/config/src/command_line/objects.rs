//! Parameters that stand for an object of their own: `bypass=…` and the like.

use super::Root;
use super::argument::{Argument, Parameter};
use crate::tree::{Node, Value};

/// What the parameters of one argument made: the keys that refer to it.
pub(super) type References = Vec<(&'static str, Node, Parameter)>;

/// Makes the objects that parameters of `argument` stand for, of those in `allowed`.
pub(super) fn add(argument: &Argument<'_>, allowed: &[&str], root: &mut Root) -> References {
    let mut references = References::new();
    for parameter in argument.parameters() {
        let object = match parameter.folded.as_str() {
            key if !allowed.contains(&key) => continue,
            "admission" => patterns(argument, "admission", "admissions", &parameter),
            "bypass" => patterns(argument, "bypass", "bypasses", &parameter),
            "resolver" => resolver(argument, &parameter),
            "hosts" => hosts(argument, &parameter),
            "climiter" => limits(argument, "climiter", "climiters", vec![format!("$ {}", parameter.value)], &parameter),
            "rlimiter" => limits(argument, "rlimiter", "rlimiters", vec![format!("$ {}", parameter.value)], &parameter),
            "limiter.in" | "limiter.out" | "limiter.conn.in" | "limiter.conn.out" => {
                limits(argument, "limiter", "limiters", traffic(argument), &parameter)
            }
            _ => continue,
        };
        let Object { noun, list, mut node } = object;
        if references.iter().any(|(known, ..)| *known == noun) {
            continue;
        }
        let list = root.list(list);
        let name = argument.node(parameter.key.clone(), Value::Text(format!("{noun}-{}", list.len())));
        argument.set(&mut node, &["name"], parameter.key.clone(), name.clone());
        list.push(node);
        references.push((noun, name, parameter));
    }
    references
}

/// Whether `key` is one that [`add`] reads.
pub(super) fn is_object(key: &str) -> bool {
    matches!(key, "admission" | "bypass" | "resolver" | "prefer" | "hosts" | "climiter" | "rlimiter")
        || matches!(key, "limiter.in" | "limiter.out" | "limiter.conn.in" | "limiter.conn.out")
}

struct Object {
    /// The key that refers to it.
    noun: &'static str,
    /// Where it stands.
    list: &'static str,
    node: Node,
}

/// Texts at the value of `parameter`.
fn texts(argument: &Argument<'_>, texts: Vec<String>, parameter: &Parameter) -> Node {
    let nodes = texts.into_iter().map(|text| argument.node(parameter.span.clone(), Value::Text(text))).collect();
    argument.node(parameter.span.clone(), Value::List(nodes))
}

fn split(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// `[~]a,b`; a tilde makes it a whitelist.
fn patterns(argument: &Argument<'_>, noun: &'static str, list: &'static str, parameter: &Parameter) -> Object {
    let mut node = argument.map();
    let value = parameter.value.strip_prefix('~');
    if value.is_some() {
        let whitelist = argument.node(parameter.span.clone(), Value::Bool(true));
        argument.set(&mut node, &["whitelist"], parameter.key.clone(), whitelist);
    }
    let matchers = texts(argument, split(value.unwrap_or(&parameter.value)), parameter);
    argument.set(&mut node, &["matchers"], parameter.key.clone(), matchers);
    Object { noun, list, node }
}

fn resolver(argument: &Argument<'_>, parameter: &Parameter) -> Object {
    let prefer = argument.parameters().find(|parameter| parameter.folded == "prefer");
    let servers = split(&parameter.value).into_iter().map(|addr| {
        let mut server = argument.map();
        let addr = argument.node(parameter.span.clone(), Value::Text(addr));
        argument.set(&mut server, &["addr"], parameter.key.clone(), addr);
        if let Some(prefer) = &prefer {
            argument.set(&mut server, &["prefer"], prefer.key.clone(), argument.value_of(prefer));
        }
        server
    });
    let servers = argument.node(parameter.span.clone(), Value::List(servers.collect()));
    let mut node = argument.map();
    argument.set(&mut node, &["nameservers"], parameter.key.clone(), servers);
    Object { noun: "resolver", list: "resolvers", node }
}

/// `name:ip,name:ip`.
fn hosts(argument: &Argument<'_>, parameter: &Parameter) -> Object {
    let mappings = split(&parameter.value).into_iter().map(|pair| {
        let (name, ip) = pair.split_once(':').unwrap_or((&pair, ""));
        let mut mapping = argument.map();
        for (key, text) in [("hostname", name), ("ip", ip)] {
            let text = argument.node(parameter.span.clone(), Value::Text(text.to_owned()));
            argument.set(&mut mapping, &[key], parameter.key.clone(), text);
        }
        mapping
    });
    let mappings = argument.node(parameter.span.clone(), Value::List(mappings.collect()));
    let mut node = argument.map();
    argument.set(&mut node, &["mappings"], parameter.key.clone(), mappings);
    Object { noun: "hosts", list: "hosts", node }
}

fn limits(
    argument: &Argument<'_>,
    noun: &'static str,
    list: &'static str,
    lines: Vec<String>,
    parameter: &Parameter,
) -> Object {
    let mut node = argument.map();
    argument.set(&mut node, &["limits"], parameter.key.clone(), texts(argument, lines, parameter));
    Object { noun, list, node }
}

/// The lines of all four parameters together.
fn traffic(argument: &Argument<'_>) -> Vec<String> {
    let value = |key: &str| argument.parameters().find(|parameter| parameter.folded == key).map(|found| found.value);
    let line = |key: &str, prefix: &str| {
        let (input, output) = (value(&format!("{prefix}in")), value(&format!("{prefix}out")));
        let given = input.is_some() || output.is_some();
        given.then(|| format!("{key} {} {}", input.unwrap_or("0".into()), output.unwrap_or("0".into())))
    };
    [line("$", "limiter."), line("$$", "limiter.conn.")].into_iter().flatten().collect()
}
