//! `drawspan plugin call`: one question.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use drawspan_plugin_client::{Bare, PluginCall};
use drawspan_wit::{Module, Plugin};
use serde_json::{Value, json};

use super::calls::{self, Visit};
use super::json;
use super::target::{self, Settings};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// `auther`, `admission`, `bypass`, …
    #[arg(value_parser = calls::module)]
    module: Module,
    /// `grpc://host:port`, `grpcs://…`, `http://…`, `https://…`, or a component's file
    address: String,
    /// The request, by the fields of the WIT record, bytes as base64; without it an example is sent
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    /// For modules with several functions: ingress and sd
    #[arg(long)]
    function: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plugin = args.settings.load(&mut target::plugins(), args.module, &args.address).await?;
    let ask = Ask { plugin, request: args.json };
    let (output, status) = calls::visit(args.module, args.function.as_deref(), ask)?.await?;
    writeln!(std::io::stdout(), "{output}")?;
    Ok(status)
}

struct Ask {
    plugin: Bare,
    request: Option<String>,
}

impl Visit for Ask {
    type Output = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<(Value, ExitCode)>>>>;

    fn visit<C: PluginCall>(self, sample: &'static str) -> Self::Output {
        Box::pin(async move {
            let request: C = json::request(self.request.as_deref().unwrap_or(sample))?;
            let start = Instant::now();
            let reply = self.plugin.call(Arc::new(request)).await;
            let seconds = start.elapsed().as_secs_f64();
            Ok(match reply {
                Ok(reply) => (json!({"reply": json::reply::<C>(&reply)?, "seconds": seconds}), ExitCode::SUCCESS),
                Err(error) => {
                    let error = json!({"kind": error.kind().as_str(), "reason": error.to_string()});
                    (json!({"error": error, "seconds": seconds}), ExitCode::FAILURE)
                }
            })
        })
    }
}
