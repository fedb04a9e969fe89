//! `drawspan plugin new`: a plugin's project that builds, and that gives the safe answer to every question.
//!
//! What differs between languages is in `templates/`, a folder each, and in `language.rs`: how a function is written there. What
//! differs between modules comes from the WIT text.

mod language;
mod shape;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use drawspan_plugin_client::PluginCall;
use drawspan_wit::{Module, SOURCES};
use heck::{ToLowerCamelCase as _, ToSnakeCase as _, ToUpperCamelCase as _};
use serde_json::{Value, json};

use self::language::Language;
use self::shape::{Reply, Shape};
use super::calls::{self, Visit};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The language to write it in
    language: Language,
    /// `auther`, `admission`, `bypass`, …
    #[arg(value_parser = calls::module)]
    module: Module,
    /// Where to put it; `<MODULE>-<LANGUAGE>` if not given
    folder: Option<PathBuf>,
}

/// The folder of the contract, in a project.
const CONTRACT: &str = "wit/deps/drawspan-plugin";

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let default = || PathBuf::from(format!("{}-{}", args.module.as_str(), args.language.name()));
    let folder = args.folder.clone().unwrap_or_else(default);
    let files = project(args.language, args.module)?;
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).symlink_metadata().is_ok()) {
        bail!("{} is there already; nothing was written: name another folder", folder.join(path).display());
    }
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    writeln!(std::io::stdout(), "{}: {} files; see README.md for what to do next", folder.display(), files.len())?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let script = text.starts_with("#!");
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .and_then(|()| if script { fs::set_permissions(path, fs::Permissions::from_mode(0o755)) } else { Ok(()) });
    written.with_context(|| path.display().to_string())
}

/// The files of a project, by their paths in it.
fn project(language: Language, module: Module) -> anyhow::Result<Vec<(String, String)>> {
    let shapes = shape::functions(module)?;
    let world = filled(include_str!("templates/guest.wit"), &[("interface", module.interface())]);
    let interface = module.interface();
    let mut interfaces = [interface.to_snake_case(), "lifecycle".to_owned()];
    interfaces.sort();
    let values = [
        ("module", module.as_str()),
        ("interface", interface),
        ("interface_snake", &interface.to_snake_case()),
        ("interface_camel", &interface.to_lower_camel_case()),
        ("interface_pascal", &interface.to_upper_camel_case()),
        ("interfaces", &interfaces.join(", ")),
        ("functions", &language.functions(interface, &shapes, &world)?),
        ("needs", language.needs()),
        ("install", language.install()),
        ("source", &language.source(interface)),
    ];
    let mut files: Vec<(String, String)> = vec![
        ("README.md".into(), filled(include_str!("templates/README.md"), &values)),
        ("gateway.yaml".into(), gateway(module)),
        ("cases.yaml".into(), cases(module, &shapes)?),
        ("wit/guest.wit".into(), world.clone()),
    ];
    files.extend(SOURCES.iter().map(|(name, text)| (format!("{CONTRACT}/{name}"), (*text).to_owned())));
    let own = language.files(interface).into_iter();
    files.extend(own.map(|(path, template)| (path, filled(template, &values))));
    Ok(files)
}

fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let fill = |text: String, (key, value): &(&str, &str)| text.replace(&format!("{{{{{key}}}}}"), value);
    let text = values.iter().fold(template.to_owned(), fill);
    format!("{}\n", text.trim_end())
}

/// A config in which the module is used.
fn gateway(module: Module) -> String {
    let name = format!("{}-0", module.as_str());
    let http = "  handler: {type: http}\n";
    let service = match module {
        Module::Auther => format!("  handler: {{type: http, auther: {name}}}\n"),
        Module::Admission | Module::Bypass | Module::Limiter | Module::Hosts | Module::Resolver | Module::Observer => {
            format!("  {}: {name}\n{http}", module.as_str())
        }
        Module::Recorder => format!("  recorders: [{{name: {name}, record: recorder.service.handler}}]\n{http}"),
        Module::Hop => "  handler: {type: http, chain: chain-0}\n".to_owned(),
        Module::Ingress | Module::Sd => {
            format!("  handler: {{type: tunnel, metadata: {{{}: {name}}}}}\n", module.as_str())
        }
        Module::Router => format!("  handler: {{type: router, metadata: {{router: {name}}}}}\n"),
        Module::Rewriter => format!(
            "  handler: {{type: tcp, metadata: {{sniffing: true}}}}\n  forwarder:\n    nodes:\n    - name: node-0\n      \
             addr: 127.0.0.1:80\n      http: {{rewriteResponseBody: [{{rewriter: {name}}}]}}\n"
        ),
    };
    let list = match module {
        Module::Bypass => "bypasses".to_owned(),
        Module::Hosts => "hosts".to_owned(),
        Module::Ingress => "ingresses".to_owned(),
        other => format!("{}s", other.as_str()),
    };
    let chain = if module == Module::Hop {
        format!("chains:\n- name: chain-0\n  hops: [{{name: {name}}}]\n")
    } else {
        String::new()
    };
    format!(
        "services:\n- name: service-0\n  addr: 127.0.0.1:8080\n{service}  listener: {{type: tcp}}\n{chain}{list}:\n\
         - name: {name}\n  plugin:\n    type: wasm\n    addr: ./plugin.wasm\n    timeout: 1s\n    config: {{}}\n"
    )
}

/// A question to each function, and the safe answer.
fn cases(module: Module, shapes: &[Shape]) -> anyhow::Result<String> {
    let mut text =
        "# Questions, and the expected answers: as `drawspan plugin call` takes and prints them.\n".to_owned();
    for Shape { name, reply, .. } in shapes {
        let request = calls::visit(module, Some(name), Sample)?;
        let reply = match reply {
            Reply::Nothing | Reply::Option(_) => Value::Null,
            Reply::List(_) => json!([]),
            Reply::Enum { first, .. } => first.to_upper_camel_case().into(),
            Reply::Record { fields, .. } => fields.iter().map(|field| (field.to_snake_case(), Value::Null)).collect(),
        };
        text +=
            &format!("- name: the answer to begin with\n  function: {name}\n  request: {request}\n  reply: {reply}\n");
    }
    Ok(text)
}

/// The example of a request that the tools send.
struct Sample;

impl Visit for Sample {
    type Output = &'static str;

    fn visit<C: PluginCall>(self, sample: &'static str) -> &'static str {
        sample
    }
}
