//! From the config's recorders to who keeps records.

use std::sync::Arc;

use drawspan_config::{Diagnostic, Recorder, RecorderKind, RedisRecords};
use drawspan_proxy::Metrics;
use drawspan_recorders::{File, Http, HttpSettings, Queue, Redis, RedisKind, RedisSettings, Sink, Tcp};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::{BoxPlugin, CallError, Module, Plugin, boxed};
use prometheus_client::metrics::counter::Counter;
use tokio_util::task::TaskTracker;

use crate::plugins::Plugins;

/// Connects to nothing; a file is opened. What isn't a plugin keeps records in `tasks`.
pub(crate) async fn load(
    recorder: &Recorder,
    plugins: &mut Plugins,
    tasks: &TaskTracker,
    metrics: Option<&Metrics>,
) -> Result<BoxPlugin<WriteRequest>, Diagnostic> {
    let name = recorder.name.value.as_str();
    let kept = match &recorder.kind {
        // GOST: counts only the others.
        RecorderKind::Plugin(plugin) => return plugins.load(name, Module::Recorder, plugin).await.map(boxed),
        RecorderKind::File { path, separator } => {
            let file = File::new(path.value.clone(), separator.clone());
            let unusable = |error| Diagnostic::error(&path.place, format!("{}: {error}", path.value.display()));
            queued(name, file.map_err(unusable)?, tasks)
        }
        RecorderKind::Tcp { addr, timeout } => {
            queued(name, Tcp::new(addr.value.host.clone(), addr.value.port, *timeout), tasks)
        }
        RecorderKind::Http { url, timeout, header } => {
            let header = header.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
            let http = Http::new(&HttpSettings { url: url.value.expose().clone(), timeout: *timeout, header });
            queued(name, http.map_err(|error| Diagnostic::error(&url.place, error.to_string()))?, tasks)
        }
        RecorderKind::Redis(redis) => {
            let settings = RedisSettings {
                host: redis.addr.value.host.clone(),
                port: redis.addr.value.port,
                db: redis.db,
                username: redis.username.clone(),
                password: redis.password.as_ref().map(|password| password.expose().to_owned()),
                key: redis.key.clone(),
                kind: match redis.kind {
                    RedisRecords::Set => RedisKind::Set,
                    RedisRecords::List => RedisKind::List,
                    RedisRecords::SortedSet => RedisKind::SortedSet,
                },
            };
            let redis = Redis::new(settings).map_err(|error| Diagnostic::error(&redis.addr.place, error))?;
            queued(name, redis, tasks)
        }
    };
    Ok(match metrics {
        Some(metrics) => boxed(Counted { kept, records: metrics.records(name) }),
        None => kept,
    })
}

/// Counts what is to be kept.
struct Counted {
    kept: BoxPlugin<WriteRequest>,
    records: Counter,
}

impl Plugin<WriteRequest> for Counted {
    async fn call(&self, call: Arc<WriteRequest>) -> Result<(), CallError> {
        self.records.inc();
        self.kept.call(call).await
    }
}

fn queued(name: &str, sink: impl Sink, tasks: &TaskTracker) -> BoxPlugin<WriteRequest> {
    boxed(Queue::new(name, sink, tasks.clone()))
}
