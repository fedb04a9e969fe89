//! How each language writes a function that gives the safe answer, and which files its project has.

use anyhow::Context as _;
use drawspan_wit::{PACKAGE, SOURCES};
use heck::{ToLowerCamelCase as _, ToSnakeCase as _, ToUpperCamelCase as _};
use wit_bindgen_core::wit_parser::Resolve;

use super::shape::{Element, Reply, Shape};
use crate::plugin::bindings;

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Language {
    Rust,
    Go,
    C,
    Js,
    Python,
}

/// The files of `templates/<folder>`: their paths in a project, and their texts.
macro_rules! templates {
    ($folder:literal: $($path:expr => $file:literal),+) => {
        vec![$(($path.to_owned(), include_str!(concat!("templates/", $folder, "/", $file)))),+]
    };
}

impl Language {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::C => "c",
            Self::Js => "js",
            Self::Python => "python",
        }
    }

    /// What an author has to have, before `install`.
    pub(super) const fn needs(self) -> &'static str {
        match self {
            Self::Rust => "Rust 1.85 or later, from rustup",
            Self::Go => "Go 1.25 or later",
            Self::C => {
                "clang with wasm-ld, wasi-libc and the run-time library for wasm32; `CC` names another clang, say that of the WASI SDK"
            }
            Self::Js => "Node.js 20 or later",
            Self::Python => "Python 3.10 or later",
        }
    }

    /// The command that gets the rest.
    pub(super) const fn install(self) -> &'static str {
        match self {
            Self::Rust => "rustup target add wasm32-wasip2",
            Self::Go => "go mod download",
            Self::C => "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32",
            Self::Js => "npm install",
            Self::Python => "pip install componentize-py==0.25.1",
        }
    }

    /// The file that an author edits.
    pub(super) fn source(self, interface: &str) -> String {
        match self {
            Self::Rust => "src/lib.rs".to_owned(),
            Self::Go => format!("export_drawspan_plugin_{}/plugin.go", interface.to_snake_case()),
            Self::C => "plugin.c".to_owned(),
            Self::Js => "plugin.js".to_owned(),
            Self::Python => "plugin.py".to_owned(),
        }
    }

    pub(super) fn files(self, interface: &str) -> Vec<(String, &'static str)> {
        let source = self.source(interface);
        match self {
            Self::Rust => {
                templates!("rust": source => "lib.rs", "Cargo.toml" => "Cargo.toml", "build.sh" => "build.sh",
                ".gitignore" => "gitignore")
            }
            Self::Go => templates!("go": source => "plugin.go",
                "export_drawspan_plugin_lifecycle/lifecycle.go" => "lifecycle.go", "go.mod" => "go.mod", "go.sum" => "go.sum",
                "build.sh" => "build.sh", ".gitignore" => "gitignore"),
            Self::C => templates!("c": source => "plugin.c", "build.sh" => "build.sh", ".gitignore" => "gitignore"),
            Self::Js => {
                templates!("js": source => "plugin.js", "package.json" => "package.json", "build.sh" => "build.sh",
                ".gitignore" => "gitignore")
            }
            Self::Python => templates!("python": source => "plugin.py", "build.sh" => "build.sh",
                ".gitignore" => "gitignore"),
        }
    }

    /// The functions of the interface, each with its safe answer. `world` is the text of the plugin's own WIT.
    pub(super) fn functions(self, interface: &str, shapes: &[Shape], world: &str) -> anyhow::Result<String> {
        let write: fn(&str, &Shape) -> String = match self {
            Self::Rust => rust,
            Self::Go => go,
            Self::C => return c(interface, shapes, world),
            Self::Js => js,
            Self::Python => python,
        };
        let separator = if matches!(self, Self::Go) { "" } else { "\n" };
        Ok(shapes.iter().map(|shape| write(interface, shape)).collect::<Vec<_>>().join(separator))
    }
}

/// The lines of a comment, each after `prefix`.
fn comment(prefix: &str, docs: &[String]) -> String {
    docs.iter().map(|line| format!("{}\n", format!("{prefix} {line}").trim_end())).collect()
}

fn rust(interface: &str, shape: &Shape) -> String {
    let module = interface.to_snake_case();
    let ty = |name: &str| format!("{module}::{}", name.to_upper_camel_case());
    let element = |element: &Element| match element {
        Element::Text => "String".to_owned(),
        Element::Bytes => "Vec<u8>".to_owned(),
        Element::Record(name) => ty(name),
    };
    let (reply, safe) = match &shape.reply {
        Reply::Nothing => ("()".to_owned(), "()".to_owned()),
        Reply::Option(inner) => (format!("Option<{}>", element(inner)), "None".to_owned()),
        Reply::List(inner) => (format!("Vec<{}>", element(inner)), "vec![]".to_owned()),
        Reply::Enum { name, first } => (ty(name), format!("{}::{}", ty(name), first.to_upper_camel_case())),
        Reply::Record { name, fields } => {
            let none = |field: &String| format!("            {}: None,\n", field.to_snake_case());
            let fields: String = fields.iter().map(none).collect();
            (ty(name), format!("{} {{\n{fields}        }}", ty(name)))
        }
    };
    let (name, request) = (shape.name.to_snake_case(), ty(&shape.request));
    let mut head = format!("    fn {name}(_request: {request}) -> Result<{reply}, PluginError> {{");
    // As rustfmt has it.
    if head.len() > 100 {
        head = format!("    fn {name}(\n        _request: {request},\n    ) -> Result<{reply}, PluginError> {{");
    }
    format!("{docs}{head}\n        Ok({safe})\n    }}\n", docs = comment("    ///", &shape.docs))
}

fn go(_interface: &str, shape: &Shape) -> String {
    let ty = |name: &str| format!("plugin.{}", name.to_upper_camel_case());
    let element = |element: &Element| match element {
        Element::Text => "string".to_owned(),
        Element::Bytes => "[]uint8".to_owned(),
        Element::Record(name) => ty(name),
    };
    let (reply, safe) = match &shape.reply {
        Reply::Nothing => ("wit.Unit".to_owned(), "wit.Unit{}".to_owned()),
        Reply::Option(inner) => (format!("wit.Option[{}]", element(inner)), format!("wit.None[{}]()", element(inner))),
        Reply::List(inner) => (format!("[]{}", element(inner)), "nil".to_owned()),
        Reply::Enum { name, first } => (ty(name), format!("{}{}", ty(name), first.to_upper_camel_case())),
        Reply::Record { name, fields } => {
            let none = |field: &String| format!("{}: wit.None[uint64]()", field.to_upper_camel_case());
            let fields: Vec<_> = fields.iter().map(none).collect();
            (ty(name), format!("{}{{{}}}", ty(name), fields.join(", ")))
        }
    };
    let name = shape.name.to_upper_camel_case();
    format!(
        "\n// {name} answers a question.\n//\n{docs}func {name}(request {request}) wit.Result[{reply}, plugin.PluginError] {{\n\
         \treturn wit.Ok[{reply}, plugin.PluginError]({safe})\n}}\n",
        docs = comment("//", &shape.docs),
        request = ty(&shape.request),
    )
}

/// The declarations are taken from the header that the bindings will have.
fn c(interface: &str, shapes: &[Shape], world: &str) -> anyhow::Result<String> {
    let mut resolve = Resolve::default();
    resolve.push_source(PACKAGE, &SOURCES.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n"))?;
    let package = resolve.push_source("guest.wit", world)?;
    let world = resolve.select_world(&[package], None)?;
    let header = bindings::c_header(&mut resolve, world)?;
    let declaration = |interface: &str, function: &str| {
        let start = format!("bool exports_drawspan_plugin_{}_{}(", interface.to_snake_case(), function.to_snake_case());
        let line = header.lines().find(|line| line.starts_with(&start)).and_then(|line| line.strip_suffix(");"));
        let parameters = line.map(|line| line[start.len()..].split(", ").collect::<Vec<_>>());
        parameters
            .map(|parameters| (start.clone(), parameters))
            .with_context(|| format!("no {function} in the C header"))
    };
    let mut text = String::new();
    let init = ["Called once, before any question. An error refuses the plugin.".to_owned()];
    let init = std::iter::once(("lifecycle", "init", &init[..]));
    for (interface, function, docs) in init.chain(shapes.iter().map(|shape| (interface, &*shape.name, &shape.docs[..])))
    {
        let (start, parameters) = declaration(interface, function)?;
        let request = parameters.first().and_then(|request| request.strip_suffix("_t *request"));
        let request = request.context("the C header has another shape than expected")?;
        // In C as on the wire a zero is `none`, nothing, the first case: the safe answer.
        let ret = parameters.iter().find_map(|parameter| parameter.strip_suffix(" *ret"));
        let safe = ret.map_or_else(String::new, |ty| format!("    *ret = ({ty}){{0}};\n"));
        text += &format!(
            "\n{docs}{start}{parameters}) {{\n    (void)err;\n{safe}    {request}_free(request);\n    return true;\n}}\n",
            docs = comment("//", docs),
            parameters = parameters.join(",\n    "),
        );
    }
    Ok(text)
}

fn js(_interface: &str, shape: &Shape) -> String {
    let safe = match &shape.reply {
        Reply::Nothing => "",
        Reply::Option(_) => "    return undefined;\n",
        Reply::List(_) => "    return [];\n",
        Reply::Enum { first, .. } => &format!("    return \"{first}\";\n"),
        Reply::Record { .. } => "    return {};\n",
    };
    let name = shape.name.to_lower_camel_case();
    format!("{docs}  {name}(request) {{\n{safe}  }},\n", docs = comment("  //", &shape.docs))
}

fn python(interface: &str, shape: &Shape) -> String {
    let module = interface.to_snake_case();
    let ty = |name: &str| format!("{module}.{}", name.to_upper_camel_case());
    let element = |element: &Element| match element {
        Element::Text => "str".to_owned(),
        Element::Bytes => "bytes".to_owned(),
        Element::Record(name) => ty(name),
    };
    let (reply, safe) = match &shape.reply {
        Reply::Nothing => ("None".to_owned(), "None".to_owned()),
        Reply::Option(inner) => (format!("{} | None", element(inner)), "None".to_owned()),
        Reply::List(inner) => (format!("list[{}]", element(inner)), "[]".to_owned()),
        Reply::Enum { name, first } => (ty(name), format!("{}.{}", ty(name), first.to_uppercase())),
        Reply::Record { name, fields } => {
            (ty(name), format!("{}({})", ty(name), vec!["None"; fields.len()].join(", ")))
        }
    };
    format!(
        "    def {name}(self, request: {request}) -> {reply}:\n{docs}        return {safe}\n",
        name = shape.name.to_snake_case(),
        request = ty(&shape.request),
        docs = comment("        #", &shape.docs),
    )
}
