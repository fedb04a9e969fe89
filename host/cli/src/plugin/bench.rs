//! `drawspan plugin bench`: latencies of one or two plugins, and how long they took to start.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use drawspan_plugin_client::{Bare, PluginCall};
use drawspan_wit::{CallError, Module, Plugin};

use super::calls::{self, Visit};
use super::json;
use super::target::{self, Settings};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// `auther`, `admission`, `bypass`, …
    #[arg(value_parser = calls::module)]
    module: Module,
    /// One or two addresses, as for `plugin call`
    #[arg(required = true, num_args = 1..=2)]
    addresses: Vec<String>,
    /// The request; without it an example is sent
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    /// For modules with several functions
    #[arg(long)]
    function: Option<String>,
    /// How many calls
    #[arg(short = 'n', long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// How many at a time
    #[arg(short = 'c', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let mut plugins = target::plugins();
    let (mut p50s, mut measured, mut status) = (Vec::new(), Vec::new(), ExitCode::SUCCESS);
    let servers = args.addresses.iter().map(|address| target::is_server(address)).collect::<Result<Vec<_>, _>>()?;
    let one_of_each = servers.contains(&true) && servers.contains(&false);
    for (index, (address, is_server)) in args.addresses.iter().zip(servers).enumerate() {
        let settings = if one_of_each { args.settings.of_its_kind(is_server) } else { args.settings.clone() };
        let start = Instant::now();
        let plugin = settings.load(&mut plugins, args.module, address).await?;
        let start = start.elapsed();
        let request = args.json.clone();
        let work = Measure { plugin: Arc::new(plugin), request, calls: args.calls, concurrency: args.concurrency };
        let Measured { times, error, total } = calls::visit(args.module, args.function.as_deref(), work)?.await?;
        if index == 0 {
            writeln!(
                out,
                "{:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>8}",
                "start", "p50", "p90", "p99", "max", "calls/s", "errors"
            )?;
        }
        let at = |percent: usize| times.get(times.len() * percent / 100).or(times.last());
        let [p50, p90, p99, max] =
            [50, 90, 99, 100].map(|percent| at(percent).map_or("-".into(), |time| format!("{time:.2?}")));
        let rate = times.len() as f64 / total.as_secs_f64();
        let errors = args.calls as usize - times.len();
        writeln!(out, "{start:>10.2?} {p50:>10} {p90:>10} {p99:>10} {max:>10} {rate:>12.0} {errors:>8}  {address}")?;
        if let Some(error) = error {
            let kind = error.kind().as_str();
            writeln!(std::io::stderr(), "{errors} calls of {address} failed; the first: {kind}: {error}")?;
            status = ExitCode::FAILURE;
        }
        p50s.extend(at(50).copied());
        measured.push(times);
    }
    if let [first, second] = p50s[..] {
        writeln!(out, "p50 of the second / of the first: {:.1}", second.as_secs_f64() / first.as_secs_f64())?;
    }
    for line in histogram(&measured) {
        writeln!(out, "{line}")?;
    }
    Ok(status)
}

/// How many calls took how long, a column for each plugin. Each line goes up to twice the time of the one before.
fn histogram(measured: &[Vec<Duration>]) -> Vec<String> {
    // Shorter than 2^63 ns, some 292 years.
    let step = |time: &Duration| (time.as_nanos() as u64).next_power_of_two().ilog2();
    let steps = || measured.iter().flatten().map(step);
    let (Some(first), Some(last)) = (steps().min(), steps().max()) else { return Vec::new() };
    let line = |up_to| {
        let counts = measured.iter().map(|times| times.iter().filter(|time| step(time) == up_to).count());
        let columns: String = counts.map(|count| format!(" {count:>10}")).collect();
        format!("{:>10.2?}{columns} calls", Duration::from_nanos(1_u64 << up_to))
    };
    (first..=last).map(line).collect()
}

struct Measure {
    plugin: Arc<Bare>,
    request: Option<String>,
    calls: u32,
    concurrency: u32,
}

struct Measured {
    /// Of the calls that were answered, sorted.
    times: Vec<Duration>,
    /// Of a call that wasn't.
    error: Option<CallError>,
    /// From the first call to the last answer.
    total: Duration,
}

impl Visit for Measure {
    type Output = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<Measured>>>>;

    fn visit<C: PluginCall>(self, sample: &'static str) -> Self::Output {
        Box::pin(async move {
            let request: Arc<C> = Arc::new(json::request(self.request.as_deref().unwrap_or(sample))?);
            // Connections are made and caches filled before the clock starts.
            drop(self.plugin.call(Arc::clone(&request)).await);
            let start = Instant::now();
            let workers = (0..self.concurrency).map(|worker| {
                let (plugin, request) = (Arc::clone(&self.plugin), Arc::clone(&request));
                let share = self.calls / self.concurrency + u32::from(worker < self.calls % self.concurrency);
                tokio::spawn(async move {
                    let (mut times, mut failed) = (Vec::with_capacity(share as usize), None);
                    for _ in 0..share {
                        let start = Instant::now();
                        match plugin.call(Arc::clone(&request)).await {
                            Ok(_) => times.push(start.elapsed()),
                            Err(error) => failed = failed.or(Some(error)),
                        }
                    }
                    (times, failed)
                })
            });
            let (mut times, mut error) = (Vec::new(), None);
            for worker in workers.collect::<Vec<_>>() {
                let (answered, failed) = worker.await.context("a worker failed")?;
                times.extend(answered);
                error = error.or(failed);
            }
            let total = start.elapsed();
            times.sort_unstable();
            Ok(Measured { times, error, total })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_a_line_for_each_doubling() {
        let nanos = |times: &[u64]| times.iter().copied().map(Duration::from_nanos).collect::<Vec<_>>();
        let lines = histogram(&[nanos(&[700, 1000, 1024]), nanos(&[1025, 4096])]);
        assert_eq!(
            lines,
            [
                "    1.02µs          3          0 calls",
                "    2.05µs          0          1 calls",
                "    4.10µs          0          1 calls",
            ]
        );
        assert!(histogram(&[vec![]]).is_empty());
    }
}
