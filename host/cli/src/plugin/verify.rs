//! `drawspan plugin verify`: the conformance kit.
//!
//! A plugin conforms if it answers the contract's questions, declines nonsense rather than failing on it, says the same
//! when asked the same, also many times and at once, keeps nothing of a question that it has answered, and does what its author's
//! own cases say.

mod memory;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use drawspan_gateway::Plugins;
use drawspan_plugin_client::{Bare, PluginCall};
use drawspan_wit::{ErrorKind, Module, Plugin};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::{self, Visit};
use super::inspect;
use super::json;
use super::target::{self, Settings, Unusable};

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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    /// May be left out when only one module is checked.
    module: Option<String>,
    /// The module's first, if left out.
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

impl Check {
    /// The same, as a check of `function`.
    fn of(self, function: &str) -> Self {
        Self { name: format!("{function}: {}", self.name), ..self }
    }
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
    let Args { address, settings, .. } = &args;
    let remote = target::is_server(address)?;
    let modules = match (&args.module[..], remote) {
        ([], true) => anyhow::bail!("say which modules the server answers: --module auther"),
        ([], false) => inspect::modules(address)?,
        (modules, _) => modules.to_vec(),
    };
    let cases = cases(args.expect.as_deref(), &modules)?;
    let mut subject = Subject { address, settings, remote, plugins: target::plugins() };
    let mut checks = Vec::new();
    for module in modules {
        let cases: Vec<_> = cases.iter().filter(|(of, _)| *of == module).map(|(_, case)| case).collect();
        checks.extend(subject.check(module, &cases).await?);
    }
    report(&checks, args.report_json)
}

/// What is checked.
struct Subject<'a> {
    address: &'a str,
    settings: &'a Settings,
    /// It is a server.
    remote: bool,
    plugins: Plugins,
}

impl Subject<'_> {
    async fn check(&mut self, module: Module, cases: &[&Case]) -> anyhow::Result<Vec<Check>> {
        let mut checks = Vec::new();
        let loaded = self.settings.load(&mut self.plugins, module, self.address).await;
        if !self.remote {
            let unusable = loaded.as_ref().err().and_then(|error| error.downcast_ref::<Unusable>());
            let failures: Vec<_> = unusable.map(ToString::to_string).into_iter().collect();
            let fails = !failures.is_empty();
            let check = Check { name: "exports what the contract asks, and starts".into(), failures };
            checks.push(check.of(module.as_str()));
            if fails {
                return Ok(checks);
            }
        }
        checks.extend(self.functions(module, loaded?).await?);
        if !cases.is_empty() {
            checks.extend(self.cases(module, cases, false).await?);
            if !self.remote {
                checks.extend(self.cases(module, cases, true).await?);
            }
        }
        Ok(checks)
    }

    /// What every plugin should do.
    async fn functions(&mut self, module: Module, plugin: Bare) -> anyhow::Result<Vec<Check>> {
        let plugin = Arc::new(plugin);
        let fresh = match self.remote {
            true => None,
            false => Some(Arc::new(self.settings.load_fresh(&mut self.plugins, module, self.address).await?)),
        };
        let mut checks = Vec::new();
        for function in calls::functions(module) {
            let kit = Kit { plugin: Arc::clone(&plugin), fresh: fresh.clone() };
            let found = calls::visit(module, Some(function), kit)?.await?;
            checks.extend(found.into_iter().map(|check| check.of(&format!("{}.{function}", module.as_str()))));
        }
        Ok(checks)
    }

    /// What the author expects, of a component in memory stores that nobody has used. With `fresh` each question is asked on an instance
    /// of its own: any may be replaced at any time.
    async fn cases(&mut self, module: Module, cases: &[&Case], fresh: bool) -> anyhow::Result<Vec<Check>> {
        let (plugin, on) = match fresh {
            false => (self.settings.load(&mut self.plugins, module, self.address).await?, ""),
            true => {
                let plugin = self.settings.load_fresh(&mut self.plugins, module, self.address).await?;
                (plugin, ", on an instance of its own")
            }
        };
        let mut checks = Vec::new();
        for case in cases {
            let function = case.function.as_deref().unwrap_or(calls::functions(module)[0]);
            let check = calls::visit(module, Some(function), Expected { plugin: &plugin, case })?.await?;
            let check = Check { name: format!("{}{on}", check.name), ..check };
            checks.push(check.of(&format!("{}.{function}", module.as_str())));
        }
        Ok(checks)
    }
}

/// The author's cases, each with its module.
fn cases(path: Option<&Path>, modules: &[Module]) -> anyhow::Result<Vec<(Module, Case)>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let file = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(file)?;
    let cases: Vec<Case> = serde_saphyr::from_str(&text).with_context(file)?;
    let cases = cases.into_iter().enumerate().map(|(index, case)| {
        let module = module_of(&case, modules).with_context(|| format!("{}: case {}", path.display(), index + 1))?;
        Ok((module, case))
    });
    let cases = cases.collect::<anyhow::Result<Vec<_>>>()?;
    let left_out = cases.iter().filter(|(module, _)| !modules.contains(module)).count();
    if left_out > 0 {
        writeln!(std::io::stderr(), "{left_out} of {} cases are about modules that aren't checked here", cases.len())?;
    }
    Ok(cases)
}

fn module_of(case: &Case, modules: &[Module]) -> anyhow::Result<Module> {
    let module = match (&case.module, modules) {
        (Some(name), _) => calls::module(name).map_err(anyhow::Error::msg)?,
        (None, [only]) => *only,
        (None, _) => {
            let names: Vec<_> = modules.iter().map(|module| module.as_str()).collect();
            anyhow::bail!("say which `module` it is about: {}", names.join(", "))
        }
    };
    let functions = calls::functions(module);
    if let Some(function) = case.function.as_deref().filter(|function| !functions.contains(function)) {
        anyhow::bail!("{} has no function `{function}`; it has {}", module.as_str(), functions.join(", "));
    }
    if case.error.is_some() && !case.reply.is_null() {
        anyhow::bail!("it expects a `reply` and an `error`");
    }
    Ok(module)
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
    /// The same component, with a new instance for each call.
    fresh: Option<Arc<Bare>>,
}

impl Visit for Kit {
    type Output = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Check>>>>>;

    fn visit<C: PluginCall>(self, sample: &'static str) -> Self::Output {
        Box::pin(async move {
            let request: C = json::request(sample)?;
            let mut checks = Vec::new();
            let first = self.plugin.call(Arc::new(request.clone())).await;
            let away = first.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
            let failure = match first {
                Ok(reply) => flaw::<C>(&reply)?,
                Err(error) => Some(error.to_string()),
            };
            checks.push(Check { name: "answers an ordinary question".into(), failures: failure.into_iter().collect() });
            if away {
                // Nothing else would be said of a server that isn't there.
                return Ok(checks);
            }
            checks.push(self.edges(&request).await?);
            if steady::<C>() {
                checks.push(self.repeats(&request).await);
            }
            checks.extend(self.endures(&request).await);
            if let Some(fresh) = &self.fresh {
                // By now garbage was collected, and memory grows differently.
                checks.push(Check { name: "survives unexpected input again".into(), ..self.edges(&request).await? });
                let name = format!("{CONCURRENT} calls at once, each on an instance of its own");
                checks.push(Check { name, failures: concurrent(fresh, &request).await });
            }
            let name = format!("{CONCURRENT} calls at once");
            checks.push(Check { name, failures: concurrent(&self.plugin, &request).await });
            Ok(checks)
        })
    }
}

impl Kit {
    /// Everything in the request in turn is something that no plugin expects, or isn't there; and then other requests of its kind.
    /// Declining is fine.
    async fn edges<C: PluginCall>(&self, request: &C) -> anyhow::Result<Check> {
        let texts = [
            ("empty", String::new()),
            ("64 KiB long", "x".repeat(64 << 10)),
            ("unicode", "пользователь-用户-🙂-\u{202e}".into()),
            ("control characters", "\0\r\n\t\u{1b}[31m".into()),
            ("IPv6", "[2001:db8::7]:65535".into()),
            ("a bare IPv6", "2001:db8::7".into()),
            ("malformed", ":::99999999999999999999/%zz{\"".into()),
        ];
        let mut texts: Vec<_> = texts.into_iter().map(|(name, text)| (name, Value::from(text))).collect();
        texts.push(("not there", Value::Null));
        let numbers = [("0", Value::from(0)), ("the most", Value::from(u64::MAX))];
        let lists = [("no entries", json!([]))];
        let bytes = [("no bytes", vec![]), ("1 MiB", vec![0xff_u8; 1 << 20]), ("every byte", (0..=255).collect())];
        let bytes = bytes.map(|(name, bytes)| (name, Value::from(bytes)));

        let record = serde_json::to_value(request)?;
        let mut requests = Vec::new();
        for place in places(&record, String::new()) {
            let is_bytes = json::has_bytes(C::MODULE) && place == "/data";
            let edges = match record.pointer(&place) {
                Some(Value::Array(_)) if is_bytes => &bytes[..],
                Some(Value::Array(_)) => &lists,
                Some(Value::Number(_)) => &numbers,
                Some(Value::String(_) | Value::Null) => &texts,
                _ => continue,
            };
            for (name, edge) in edges {
                let mut changed = record.clone();
                if let Some(value) = changed.pointer_mut(&place) {
                    *value = edge.clone();
                }
                // What isn't free text, such as an enum's case, can't be anything else, nor can what must be there be missing.
                if let Ok(request) = serde_json::from_value::<C>(changed) {
                    requests.push((format!("{place} {name}"), request));
                }
            }
        }
        for other in others(C::MODULE) {
            requests.push(((*other).to_owned(), json::request(other)?));
        }

        let mut failures = Vec::new();
        for (name, request) in requests {
            match self.plugin.call(Arc::new(request)).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Refused => {}
                Err(error) => failures.push(format!("{name}: {}: {error}", error.kind().as_str())),
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
        let remote = self.fresh.is_none();
        let calls = if remote { SERVER_CALLS } else { COMPONENT_CALLS };
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
                let may_be_garbage = !remote && rounds.leak(calls).is_some() && rounds.more() < MOST_GARBAGE;
                if asked >= ROUNDS * calls && !may_be_garbage {
                    break;
                }
            }
        }
        let asked = asked.max(ROUNDS * calls);
        let mut checks = vec![Check { name: format!("{asked} calls without a failure"), failures }];
        if !remote {
            let failures = rounds.leak(calls).into_iter().collect();
            checks.push(Check { name: format!("{asked} calls without more memory each"), failures });
        }
        checks
    }
}

/// What goes wrong when many ask at once.
async fn concurrent<C: PluginCall>(plugin: &Arc<Bare>, request: &C) -> Vec<String> {
    let request = Arc::new(request.clone());
    let alone = plugin.call(Arc::clone(&request)).await.ok();
    let calls = (0..CONCURRENT).map(|_| {
        let (plugin, request) = (Arc::clone(plugin), Arc::clone(&request));
        tokio::spawn(async move { plugin.call(request).await })
    });
    let mut failures = BTreeMap::<String, usize>::new();
    for call in calls.collect::<Vec<_>>() {
        let failure = match call.await {
            Ok(Ok(reply)) if steady::<C>() && alone.as_ref() != Some(&reply) => "another answer than alone".to_owned(),
            Ok(Ok(_)) => continue,
            Ok(Err(error)) if error.kind() == ErrorKind::Refused => continue,
            Ok(Err(error)) => format!("{}: {error}", error.kind().as_str()),
            Err(error) => error.to_string(),
        };
        *failures.entry(failure).or_default() += 1;
    }
    failures.into_iter().map(|(failure, times)| format!("{times} of them: {failure}")).collect()
}

/// Asks what an author's case says.
struct Expected<'a> {
    plugin: &'a Bare,
    case: &'a Case,
}

impl<'a> Visit for Expected<'a> {
    type Output = Pin<Box<dyn Future<Output = anyhow::Result<Check>> + 'a>>;

    fn visit<C: PluginCall>(self, _: &'static str) -> Self::Output {
        let Self { plugin, case } = self;
        Box::pin(async move {
            let name = case.name.clone().unwrap_or_else(|| case.request.to_string());
            let request: C = match json::request(&case.request.to_string()) {
                Ok(request) => request,
                Err(error) => return Ok(Check { name, failures: vec![drawspan_wit::chain(error.as_ref())] }),
            };
            let (got, wanted) = match (plugin.call(Arc::new(request)).await, &case.error) {
                (Ok(reply), None) => (json::reply::<C>(&reply)?, case.reply.clone()),
                (Ok(reply), Some(kind)) => (json::reply::<C>(&reply)?, json!({"error": kind})),
                (Err(error), Some(kind)) => (json!(error.kind().as_str()), json!(kind)),
                (Err(error), None) => (json!({"error": error.to_string()}), case.reply.clone()),
            };
            let failures = if got == wanted { vec![] } else { vec![format!("got {got}, want {wanted}")] };
            Ok(Check { name, failures })
        })
    }
}

/// Why a gateway can't use a reply, or leaves out some of it.
fn flaw<C: PluginCall>(reply: &C::Reply) -> anyhow::Result<Option<String>> {
    let reply = serde_json::to_value(reply)?;
    Ok(match (C::MODULE, &reply) {
        (Module::Hop, Value::String(node)) => {
            drawspan_config::decode_node(node, true).err().map(|reason| format!("the node can't be used: {reason}"))
        }
        (Module::Hosts | Module::Resolver, Value::Array(addresses)) => addresses
            .iter()
            .find(|address| address.as_str().is_none_or(|address| address.parse::<IpAddr>().is_err()))
            .map(|other| format!("{other} is not an IP address")),
        _ => None,
    })
}

/// Whether a question has the same answer each time. A message has an effect, and a hop or limiter may choose anew.
const fn steady<C: PluginCall>() -> bool {
    C::LEAVE.repeat && !matches!(C::MODULE, Module::Hop | Module::Limiter)
}

/// Requests that say what the sample doesn't, because it can say one thing only.
const fn others(module: Module) -> &'static [&'static str] {
    match module {
        Module::Auther => &[
            r#"{"username":"","password":"","service":"service-0","certificate":{"common_name":"alice","alternative_names":["alice.example"],"fingerprint":"0f"}}"#,
        ],
        Module::Limiter => &[
            r#"{"scope":"Connection","service":"service-0","network":"tcp","source_address":"[2001:db8::7]:41806"}"#,
            r#"{"scope":"Service","service":"service-0","network":"udp"}"#,
        ],
        Module::Hosts | Module::Resolver => {
            &[r#"{"family":"Ipv4","host":"example.org"}"#, r#"{"family":"Ipv6","host":"2001:db8::7"}"#]
        }
        Module::Observer => &[
            r#"{"events":[{"source":"Service","service":"service-0","detail":{"Status":{"state":"Failed","message":""}}}]}"#,
        ],
        _ => &[],
    }
}

/// JSON pointers to everything in a record, but for single bytes.
fn places(value: &Value, at: String) -> Vec<String> {
    let mut all = vec![at.clone()];
    match value {
        Value::Object(map) => all.extend(map.iter().flat_map(|(key, value)| places(value, format!("{at}/{key}")))),
        Value::Array(values) if !values.iter().all(Value::is_number) => {
            all.extend(values.iter().enumerate().flat_map(|(index, value)| places(value, format!("{at}/{index}"))));
        }
        _ => {}
    }
    all
}
