//! The command line: GOST's flags, and subcommands for what GOST lacks.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};
use drawspan_config::{CommandLine, Format, Input};

use crate::plugin::PluginCommand;

/// A gateway that runs GOST v3 configs, with plugins over gRPC, HTTP or as sandboxed WebAssembly components.
#[derive(Parser)]
#[command(name = "drawspan", version = VERSION, disable_version_flag = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print the version
    #[arg(short = 'V', action = ArgAction::Version)]
    version: Option<bool>,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"));

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a config (the same as no command)
    Run(ConfigArgs),
    /// Check a config: everything short of listening
    Check(ConfigArgs),
    /// Try, serve, measure and verify plugins
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
}

impl Args {
    /// Reads the command line of this process.
    pub(crate) fn read() -> Self {
        Self::parse_from(std::env::args_os().map(with_dashes))
    }
}

/// Go's flags have one dash or two; here those of one letter have one, others have two.
fn with_dashes(argument: OsString) -> OsString {
    let Some(flag) = argument.to_str().and_then(|text| text.strip_prefix('-')) else { return argument };
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    match flag.split('=').next().unwrap_or_default() {
        "C" | "L" | "F" | "O" | "D" | "DD" | "V" => format!("-{flag}").into(),
        "metrics" => format!("--{flag}").into(),
        _ => argument,
    }
}

/// What to run.
#[derive(ClapArgs)]
pub(crate) struct ConfigArgs {
    /// A config file, `-` for standard input, or JSON in braces; may be repeated
    #[arg(short = 'C', value_name = "FILE")]
    config: Vec<String>,
    /// A service, e.g. `http://user:pass@:8080`; may be repeated
    #[arg(short = 'L', value_name = "URL")]
    listen: Vec<String>,
    /// A hop of the way to targets, e.g. `socks5+tls://user:pass@host:1080`; may be repeated
    #[arg(short = 'F', value_name = "URL")]
    forward: Vec<String>,
    /// Serve metrics, e.g. `:9000` or `user:pass@:9000?path=/metrics`; also written `-metrics`
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// Print the config as `yaml` or `json`, secrets included, and do nothing else
    #[arg(short = 'O', value_name = "FORMAT", value_parser = format)]
    pub(crate) output: Option<Format>,
    /// Log at debug level; `-DD`: at trace level
    #[arg(short = 'D', action = ArgAction::Count)]
    pub(crate) debug: u8,
    /// Refuse keys that nobody knows, in place of a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

impl ConfigArgs {
    /// What the config is made of: the file, then the flags and the environment (`GOST_METRICS`). Without a file and a service, the first of GOST's default files
    /// that exists.
    pub(crate) fn inputs(&self) -> anyhow::Result<Vec<Input>> {
        let mut inputs = Vec::new();
        for config in &self.config {
            inputs.push(match config.as_str() {
                "-" => {
                    let mut text = String::new();
                    std::io::stdin().read_to_string(&mut text).context("standard input")?;
                    Input::Text { name: "<stdin>".into(), text, folder: PathBuf::new() }
                }
                json if json.starts_with('{') && json.ends_with('}') => {
                    Input::Text { name: "-C".into(), text: json.into(), folder: PathBuf::new() }
                }
                path => Input::File(path.into()),
            });
        }
        if inputs.is_empty() && self.listen.is_empty() {
            inputs.push(Input::File(default_file()?));
        }
        for name in ["GOST_API", "GOST_PROFILING"] {
            if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
                bail!("{name} is not implemented; unset it");
            }
        }
        let metrics =
            self.metrics.clone().or_else(|| std::env::var("GOST_METRICS").ok().filter(|addr| !addr.is_empty()));
        let flags = CommandLine { listen: self.listen.clone(), forward: self.forward.clone(), metrics };
        inputs.push(Input::CommandLine(flags));
        Ok(inputs)
    }
}

/// GOST: anything but `json` is YAML.
fn format(text: &str) -> Result<Format, String> {
    match text.to_ascii_lowercase().as_str() {
        "json" => Ok(Format::Json),
        "yaml" => Ok(Format::Yaml),
        _ => Err("expected `yaml` or `json`".into()),
    }
}

fn default_file() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".gost"));
    let folders = [Some(PathBuf::from("/etc/gost")), home, Some(PathBuf::new())];
    for folder in folders.into_iter().flatten() {
        for name in ["gost.yaml", "gost.yml", "gost.json"] {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    bail!("nothing to run: give a config with -C or a service with -L (see --help)")
}
