//! `drawspan plugin verify`: the conformance kit.
//!
//! A plugin conforms if it answers the contract's questions, declines nonsense rather than failing on it, says the same
//! when asked the same, also many times and at once, keeps nothing of a question that it has answered, and does what its author's
//! own cases say.

mod memory;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use drawspan_plugin_client::{Bare, PluginCall};
use drawspan_wit::{ErrorKind, Module, Plugin};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::{self, Visit};
use super::inspect;
use super::json;
use super::target::{self, Settings};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// `grpc://host:port`, `grpcs://…`, `http://…`, `https://…`, or a component's file
    address: String,
    /// The modules to check; of a component, all that it exports
    #[arg(long, value_parser = calls::module)]
    module: Vec<Module>,
    /// The author's own cases: YAML, a list of `{name, module, function, request, reply | error}`
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    report_json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What an author expects of a question.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    module: Option<String>,
    function: Option<String>,
    request: Value,
    /// The reply as `plugin call` prints it.
    #[serde(default)]
    reply: Value,
    /// Or the error's kind, e.g. `refused`.
    error: Option<String>,
}

/// What was looked at, and what is wrong with it.
struct Check {
    name: String,
    failures: Vec<String>,
}

/// Calls in a round of the endurance check; see [`memory::Rounds`].
const COMPONENT_CALLS: usize = 2000;
const SERVER_CALLS: usize = 100;
const ROUNDS: usize = 5;
/// So many rounds if there was more memory after each so far: garbage may not have been collected yet.
const MOST_ROUNDS: usize = 60;
/// More than this, in bytes, is none: JavaScript's collector comes at up to 44 MiB, and a leak must not end in a trap before, when it
/// fills the 64 MiB of `memory` that are the default.
const MOST_GARBAGE: u64 = 54 << 20;
/// Calls at a time.
const CONCURRENT: usize = 64;

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let remote = args.address.contains("://") && !args.address.starts_with("file://");
    let modules = match (&args.module[..], remote) {
        ([], true) => anyhow::bail!("say which modules the server answers: --module auther"),
        ([], false) => inspect::modules(&args.address)?,
        (modules, _) => modules.to_vec(),
    };
    let cases = cases(args.expect.as_deref())?;
    let mut plugins = target::plugins();
    let mut checks = Vec::new();
    for module in modules {
        let plugin = Arc::new(args.settings.load(&mut plugins, module, &args.address).await?);
        for function in calls::functions(module) {
            let kit = Kit {
                plugin: Arc::clone(&plugin),
                remote,
                cases: cases
                    .iter()
                    .filter(|case| {
                        case.module.as_deref().is_none_or(|name| name == module.as_str())
                            && case.function.as_deref().unwrap_or(calls::functions(module)[0]) == *function
                    })
                    .cloned()
                    .collect(),
            };
            let label = format!("{}.{function}", module.as_str());
            for mut check in calls::visit(module, Some(function), kit)?.await? {
                check.name = format!("{label}: {}", check.name);
                checks.push(check);
            }
        }
    }
    report(&checks, args.report_json)
}

fn cases(path: Option<&std::path::Path>) -> anyhow::Result<Vec<Case>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

fn report(checks: &[Check], as_json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let failed = checks.iter().filter(|check| !check.failures.is_empty()).count();
    if as_json {
        let checks: Vec<Value> = checks
            .iter()
            .map(|check| json!({"name": check.name, "passed": check.failures.is_empty(), "failures": check.failures}))
            .collect();
        writeln!(out, "{}", json!({"passed": failed == 0, "checks": checks}))?;
    } else {
        for check in checks {
            writeln!(out, "{} {}", if check.failures.is_empty() { "ok  " } else { "FAIL" }, check.name)?;
            for failure in &check.failures {
                writeln!(out, "       {failure}")?;
            }
        }
        writeln!(out, "{} checks, {failed} failed", checks.len())?;
    }
    Ok(if failed == 0 && !checks.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks one function.
struct Kit {
    plugin: Arc<Bare>,
    remote: bool,
    cases: Vec<Case>,
}

impl Visit for Kit {
    type Output = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<Vec<Check>>>>>;

    fn visit<C: PluginCall>(self, sample: &'static str) -> Self::Output {
        Box::pin(async move {
            let request: C = json::request(sample)?;
            let mut checks = vec![self.answers(&request).await, self.edges(&request).await?];
            if steady::<C>() {
                checks.push(self.repeats(&request).await);
            }
            checks.extend(self.endures(&request).await);
            if !self.remote {
                // By now garbage was collected, and memory grows differently.
                checks.push(Check { name: "survives unexpected input again".into(), ..self.edges(&request).await? });
            }
            checks.push(self.concurrent(&request).await);
            for case in &self.cases {
                checks.push(self.expected::<C>(case).await?);
            }
            Ok(checks)
        })
    }
}

impl Kit {
    async fn answers<C: PluginCall>(&self, request: &C) -> Check {
        let failures = match self.plugin.call(Arc::new(request.clone())).await {
            Ok(_) => vec![],
            Err(error) => vec![error.to_string()],
        };
        Check { name: "answers an ordinary question".into(), failures }
    }

    /// Every text of the request in turn, and its bytes, are something that no plugin expects. Declining is fine.
    async fn edges<C: PluginCall>(&self, request: &C) -> anyhow::Result<Check> {
        let edges = [
            ("empty", String::new()),
            ("64 KiB long", "x".repeat(64 << 10)),
            ("unicode", "пользователь-用户-🙂-\u{202e}".into()),
            ("control characters", "\0\r\n\t\u{1b}[31m".into()),
            ("IPv6", "[2001:db8::7]:65535".into()),
            ("a bare IPv6", "2001:db8::7".into()),
            ("malformed", ":::99999999999999999999/%zz{\"".into()),
        ];
        let edges = edges.map(|(name, text)| (name, Value::String(text)));
        let bytes = [("no bytes", vec![]), ("1 MiB", vec![0xff_u8; 1 << 20]), ("every byte", (0..=255).collect())];
        let bytes = bytes.map(|(name, bytes)| (name, Value::from(bytes)));
        let record = serde_json::to_value(request)?;
        let mut failures = Vec::new();
        let places = texts(&record, String::new()).into_iter().map(|place| (place, &edges[..]));
        let data = json::has_bytes(C::MODULE).then(|| ("/data".to_owned(), &bytes[..]));
        for (place, edges) in places.chain(data) {
            for (name, edge) in edges {
                let mut changed = record.clone();
                if let Some(value) = changed.pointer_mut(&place) {
                    *value = edge.clone();
                }
                // What isn't free text, such as an enum's case, can't be anything else.
                let Ok(request) = serde_json::from_value::<C>(changed) else { continue };
                match self.plugin.call(Arc::new(request)).await {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Refused => {}
                    Err(error) => failures.push(format!("{place} {name}: {}: {error}", error.kind().as_str())),
                }
            }
        }
        if let Err(error) = self.plugin.call(Arc::new(request.clone())).await {
            failures.push(format!("an ordinary question after all that: {error}"));
        }
        Ok(Check { name: "survives unexpected input".into(), failures })
    }

    async fn repeats<C: PluginCall>(&self, request: &C) -> Check {
        let request = Arc::new(request.clone());
        let first = self.plugin.call(Arc::clone(&request)).await.ok();
        let mut failures = Vec::new();
        for again in 1..=20 {
            if self.plugin.call(Arc::clone(&request)).await.ok() != first {
                failures.push(format!("time {again}: another answer than before"));
            }
        }
        Check { name: "says the same again".into(), failures }
    }

    /// One question after another, which the same instance of a component answers. A server's memory can't be seen from here.
    async fn endures<C: PluginCall>(&self, request: &C) -> Vec<Check> {
        let calls = if self.remote { SERVER_CALLS } else { COMPONENT_CALLS };
        let request = Arc::new(request.clone());
        let mut failures = Vec::new();
        let (mut rounds, mut asked) = (memory::Rounds::default(), 0);
        while failures.is_empty() && asked < MOST_ROUNDS * calls {
            asked += 1;
            if let Err(error) = self.plugin.call(Arc::clone(&request)).await
                && error.kind() != ErrorKind::Refused
            {
                failures.push(format!("call {asked}: {}: {error}", error.kind().as_str()));
            }
            if asked % calls == 0 {
                rounds.over();
                let may_be_garbage = !self.remote && rounds.leak(calls).is_some() && rounds.more() < MOST_GARBAGE;
                if asked >= ROUNDS * calls && !may_be_garbage {
                    break;
                }
            }
        }
        let asked = asked.max(ROUNDS * calls);
        let mut checks = vec![Check { name: format!("{asked} calls without a failure"), failures }];
        if !self.remote {
            let failures = rounds.leak(calls).into_iter().collect();
            checks.push(Check { name: format!("{asked} calls without more memory each"), failures });
        }
        checks
    }

    async fn concurrent<C: PluginCall>(&self, request: &C) -> Check {
        let request = Arc::new(request.clone());
        let alone = self.plugin.call(Arc::clone(&request)).await.ok();
        let calls = (0..CONCURRENT).map(|_| {
            let (plugin, request) = (Arc::clone(&self.plugin), Arc::clone(&request));
            tokio::spawn(async move { plugin.call(request).await })
        });
        let mut failures = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            match call.await {
                Ok(Ok(reply)) if steady::<C>() && alone.as_ref() != Some(&reply) => {
                    failures.push("another answer than alone".into());
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.kind() == ErrorKind::Refused => {}
                Ok(Err(error)) => failures.push(format!("{}: {error}", error.kind().as_str())),
                Err(error) => failures.push(error.to_string()),
            }
        }
        Check { name: format!("{CONCURRENT} calls at once"), failures }
    }

    async fn expected<C: PluginCall>(&self, case: &Case) -> anyhow::Result<Check> {
        let request: C = json::request(&case.request.to_string())?;
        let reply = self.plugin.call(Arc::new(request)).await;
        let (got, wanted) = match (&reply, &case.error) {
            (Ok(reply), None) => (json::reply::<C>(reply)?, case.reply.clone()),
            (Ok(reply), Some(kind)) => (json::reply::<C>(reply)?, json!({"error": kind})),
            (Err(error), Some(kind)) => (json!(error.kind().as_str()), json!(kind)),
            (Err(error), None) => (json!({"error": error.to_string()}), case.reply.clone()),
        };
        let failures = if got == wanted { vec![] } else { vec![format!("got {got}, want {wanted}")] };
        Ok(Check { name: case.name.clone().unwrap_or_else(|| case.request.to_string()), failures })
    }
}

/// Whether a question has the same answer each time. A message has an effect, and a hop or limiter may choose anew.
const fn steady<C: PluginCall>() -> bool {
    C::LEAVE.repeat && !matches!(C::MODULE, Module::Hop | Module::Limiter)
}

/// JSON pointers to every text in a record.
fn texts(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(_) => vec![at],
        Value::Object(map) => map.iter().flat_map(|(key, value)| texts(value, format!("{at}/{key}"))).collect(),
        Value::Array(values) => {
            values.iter().enumerate().flat_map(|(index, value)| texts(value, format!("{at}/{index}"))).collect()
        }
        _ => vec![],
    }
}
