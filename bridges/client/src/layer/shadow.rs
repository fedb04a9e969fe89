//! [`Shadow`]: another plugin that is asked too, compared, and never obeyed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drawspan_wit::{Call, CallError, Plugin};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::LogLimit;
use super::difference::differing_fields;
use crate::metrics::{Labels, ShadowMetrics};

/// Questions that may wait for the shadow; one more is left out.
const QUEUE: usize = 64;

/// Passes calls through, and hands those that were answered to the [`Beside`], if there is one.
pub(crate) struct Shadow<P, S> {
    inner: P,
    beside: Option<Beside<S>>,
}

impl<P, S> Shadow<P, S> {
    pub(crate) const fn new(inner: P, beside: Option<Beside<S>>) -> Self {
        Self { inner, beside }
    }
}

impl<C: Call, P: Plugin<C>, S: Plugin<C> + 'static> Plugin<C> for Shadow<P, S> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let asked = self.beside.as_ref().filter(|beside| C::LEAVE.shadow && beside.sample.next());
        let asked = asked.map(|beside| (beside, Arc::clone(&call)));
        let reply = self.inner.call(call).await?;
        if let Some((beside, call)) = asked {
            beside.compare(call, &reply);
        }
        Ok(reply)
    }
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The shadow, with the queue of questions to it and the task that works through the queue, one at a time.
pub(crate) struct Beside<S> {
    comparison: Arc<Comparison<S>>,
    sample: Sample,
    queue: mpsc::Sender<Job>,
    _worker: AbortOnDropHandle<()>,
}

impl<S> Beside<S> {
    /// `sample` is the share of calls that the shadow is asked, from 0 to 1. Must run in a tokio runtime.
    pub(crate) fn new(plugin: S, sample: f64, labels: Labels, metrics: ShadowMetrics) -> Self {
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        let worker = tokio::spawn(async move {
            while let Some(job) = jobs.recv().await {
                job.await;
            }
        });
        Self {
            comparison: Arc::new(Comparison { plugin, labels, metrics, log: LogLimit::new() }),
            sample: Sample { share: sample, calls: AtomicU64::new(0) },
            queue,
            _worker: AbortOnDropHandle::new(worker),
        }
    }

    /// Never waits.
    fn compare<C: Call>(&self, call: Arc<C>, reply: &C::Reply)
    where
        S: Plugin<C> + 'static,
    {
        match self.queue.try_reserve() {
            Ok(slot) => slot.send(Box::pin(Arc::clone(&self.comparison).run(call, reply.clone()))),
            Err(_) => {
                self.comparison.metrics.dropped.inc();
            }
        }
    }
}

/// What becomes of the shadow's replies.
struct Comparison<S> {
    plugin: S,
    labels: Labels,
    metrics: ShadowMetrics,
    log: LogLimit,
}

impl<S> Comparison<S> {
    async fn run<C: Call>(self: Arc<Self>, call: Arc<C>, reply: C::Reply)
    where
        S: Plugin<C>,
    {
        match self.plugin.call(call).await {
            Err(_) => self.metrics.errors.inc(),
            Ok(other) if other == reply => self.metrics.matches.inc(),
            Ok(other) => {
                self.log.line(|unlogged| self.differs(C::FUNCTION, &differing_fields(&reply, &other), unlogged));
                self.metrics.differences.inc()
            }
        };
    }

    /// Logs the names of fields and never what is in them.
    fn differs(&self, function: &str, fields: &str, unlogged: Option<u64>) {
        let name = &self.labels.plugin;
        let kind = self.labels.module();
        tracing::warn!(kind, name = %name, fields, unlogged, "{name}: {function}: the shadow answers otherwise: {fields}");
    }
}

/// Which calls are among the sample: evenly spread, without chance.
struct Sample {
    share: f64,
    calls: AtomicU64,
}

impl Sample {
    fn next(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) as f64;
        ((call + 1.0) * self.share).floor() > (call * self.share).floor()
    }
}

#[cfg(test)]
mod tests;
