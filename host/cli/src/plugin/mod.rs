//! `drawspan plugin …`: what an author or operator does with a plugin without a gateway.

mod bench;
mod bindings;
mod call;
mod calls;
mod component;
mod contract;
mod inspect;
mod json;
mod new;
mod serve;
mod target;
mod verify;
mod wit;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// Show what a component exports and imports
    Inspect(inspect::Args),
    /// Ask a plugin one question and print its reply as JSON
    Call(call::Args),
    /// Serve a component as a gRPC and HTTP plugin server, for GOST
    Serve(serve::Args),
    /// Check that a plugin does what the contract asks of it
    Verify(verify::Args),
    /// Measure one or two plugins side by side
    Bench(bench::Args),
    /// Write the bindings that a plugin in C or Go is compiled with
    Bindings(bindings::Args),
    /// Make a component of the module that a C or Go compiler puts out
    Component(component::Args),
    /// Write a plugin's project to begin with
    New(new::Args),
    /// Print the WIT package, or write it into a folder
    Wit(wit::Args),
}

/// Runs a subcommand to its end.
pub(crate) fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::Inspect(args) => inspect::run(&args),
        PluginCommand::New(args) => new::run(&args),
        PluginCommand::Bindings(args) => bindings::run(&args),
        PluginCommand::Component(args) => component::run(&args),
        PluginCommand::Wit(args) => wit::run(&args),
        PluginCommand::Call(args) => block_on(call::run(args)),
        PluginCommand::Serve(args) => block_on(serve::run(args)),
        PluginCommand::Verify(args) => block_on(verify::run(args)),
        PluginCommand::Bench(args) => block_on(bench::run(args)),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(work)
}
