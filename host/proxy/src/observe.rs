//! Reports to observers (GOST reference, modules 6.2): [`ServiceReporter`] and [`ClientReporter`].

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drawspan_modules::{ClientId, Event, EventDetail, EventSource, Observer, ServiceState, Stats, Status};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::net::Counters;

/// How an observer is told counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reports {
    /// How often, if something changed.
    pub period: Duration,
    /// Bytes since the last report, in place of totals.
    pub reset_traffic: bool,
}

/// Tells an observer the states of a service, and its counters.
///
/// States are told once, in order, as they come. GOST: the service waits for that, here nobody does.
pub struct ServiceReporter {
    /// Who is told.
    pub observer: Observer,
    /// The service's name.
    pub service: Arc<str>,
    /// Its counters, if they are to be told.
    pub counters: Option<Arc<Counters>>,
    /// How they are told.
    pub reports: Reports,
}

/// Tells an observer the counters of a handler's clients.
pub struct ClientReporter {
    /// Who is told.
    pub observer: Observer,
    /// The service's name.
    pub service: Arc<str>,
    /// The counters.
    pub clients: Arc<ClientCounters>,
    /// How they are told.
    pub reports: Reports,
}

/// The counters of a handler's clients; anonymous ones share theirs.
#[derive(Debug, Default)]
pub struct ClientCounters(Mutex<HashMap<ClientId, Arc<Counters>>>);

impl ClientCounters {
    pub(crate) fn of(&self, client: &ClientId) -> Arc<Counters> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clients.entry(client.clone()).or_default())
    }

    fn all(&self) -> Vec<(ClientId, Arc<Counters>)> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().map(|(client, counters)| (client.clone(), Arc::clone(counters))).collect()
    }
}

/// What was told of some counters last.
#[derive(Default)]
struct Told(Option<Stats>);

impl Told {
    /// What is to be told now, if anything changed.
    fn next(&mut self, counters: &Counters, reset_traffic: bool) -> Option<Stats> {
        let now = Stats {
            total_connections: counters.total_conns.load(Relaxed),
            current_connections: counters.current_conns.load(Relaxed),
            input_bytes: counters.input.load(Relaxed),
            output_bytes: counters.output.load(Relaxed),
            total_errors: counters.total_errs.load(Relaxed),
        };
        let before = self.0.replace(now);
        let zero =
            Stats { total_connections: 0, current_connections: 0, input_bytes: 0, output_bytes: 0, total_errors: 0 };
        let base = before.unwrap_or(zero);
        if now == base {
            return None;
        }
        Some(match reset_traffic {
            true => Stats {
                input_bytes: now.input_bytes.saturating_sub(base.input_bytes),
                output_bytes: now.output_bytes.saturating_sub(base.output_bytes),
                ..now
            },
            false => now,
        })
    }
}

impl ServiceReporter {
    /// Reports until all senders of `states` are gone.
    pub async fn run(self, mut states: mpsc::UnboundedReceiver<ServiceState>) {
        let mut ticks = interval_at(Instant::now() + self.reports.period, self.reports.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::default();
        let mut pending: Vec<Event> = Vec::new();
        loop {
            tokio::select! {
                biased;
                state = states.recv() => {
                    let Some(state) = state else { return };
                    let status = EventDetail::Status(Status { state, message: self.sentence(state) });
                    // Told once, whatever becomes of it; a failure was logged by the plugin's client.
                    let _ = self.observer.observe(vec![self.event(status)]).await;
                }
                _ = ticks.tick() => {
                    // What was not taken goes alone, and new counters wait for the next time.
                    if pending.is_empty()
                        && let Some(counters) = &self.counters
                        && let Some(stats) = told.next(counters, self.reports.reset_traffic)
                    {
                        pending.push(self.event(EventDetail::Stats(stats)));
                    }
                    if self.observer.observe(pending.clone()).await.is_ok() {
                        pending.clear();
                    }
                }
            }
        }
    }

    fn event(&self, detail: EventDetail) -> Event {
        Event { source: EventSource::Service, service: self.service.to_string(), client_id: None, detail }
    }

    fn sentence(&self, state: ServiceState) -> String {
        let state = match state {
            ServiceState::Running => "running",
            ServiceState::Ready => "ready",
            ServiceState::Failed => "failed",
            ServiceState::Closed => "closed",
        };
        format!("service {} is {state}", self.service)
    }
}

impl ClientReporter {
    /// Reports until `drain` is cancelled.
    pub async fn run(self, drain: CancellationToken) {
        let mut ticks = interval_at(Instant::now() + self.reports.period, self.reports.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told: HashMap<ClientId, Told> = HashMap::new();
        let mut pending: Vec<Event> = Vec::new();
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if !pending.is_empty() {
                if self.observer.observe(pending.clone()).await.is_err() {
                    continue;
                }
                pending.clear();
            }
            for (client, counters) in self.clients.all() {
                let stats = told.entry(client.clone()).or_default().next(&counters, self.reports.reset_traffic);
                pending.extend(stats.map(|stats| Event {
                    source: EventSource::Handler,
                    service: self.service.to_string(),
                    client_id: client.known(),
                    detail: EventDetail::Stats(stats),
                }));
            }
            if self.observer.observe(pending.clone()).await.is_ok() {
                pending.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use drawspan_wit::observer::ObserveRequest;
    use drawspan_wit::{CallError, ErrorKind, Plugin, boxed};

    use super::*;

    /// Takes or refuses in turn, and says what it was sent.
    struct Taking(Mutex<VecDeque<bool>>, mpsc::UnboundedSender<Vec<Event>>);

    impl Plugin<ObserveRequest> for Taking {
        async fn call(&self, call: Arc<ObserveRequest>) -> Result<(), CallError> {
            let _ = self.1.send(call.events.clone());
            match self.0.lock().unwrap().pop_front() {
                Some(false) => Err(CallError::new(ErrorKind::Refused, "on purpose")),
                _ => Ok(()),
            }
        }
    }

    fn observer(takes: impl IntoIterator<Item = bool>) -> (Observer, mpsc::UnboundedReceiver<Vec<Event>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Observer::new(boxed(Taking(Mutex::new(takes.into_iter().collect()), sender))), receiver)
    }

    fn input(event: &Event) -> u64 {
        match &event.detail {
            EventDetail::Stats(stats) => stats.input_bytes,
            EventDetail::Status(status) => panic!("{}", status.message),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn states_at_once_and_counters_when_they_changed() {
        let (observer, mut sent) = observer([true, true, false, true, true]);
        let counters = Arc::new(Counters::default());
        let reports = Reports { period: Duration::from_secs(5), reset_traffic: true };
        let reporter =
            ServiceReporter { observer, service: "s".into(), counters: Some(Arc::clone(&counters)), reports };
        let (states, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(reporter.run(receiver));
        states.send(ServiceState::Running).unwrap();
        states.send(ServiceState::Ready).unwrap();
        for expected in ["service s is running", "service s is ready"] {
            let event = sent.recv().await.unwrap().remove(0);
            assert!(matches!(event.detail, EventDetail::Status(status) if status.message == expected));
        }
        counters.input.fetch_add(10, Relaxed);
        assert_eq!(input(&sent.recv().await.unwrap()[0]), 10, "refused");
        counters.input.fetch_add(5, Relaxed);
        assert_eq!(input(&sent.recv().await.unwrap()[0]), 10, "again, alone");
        assert_eq!(input(&sent.recv().await.unwrap()[0]), 5, "what came later");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(sent.try_recv().is_err(), "nothing changed");
        drop(states);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_told_apart() {
        let (observer, mut sent) = observer([]);
        let clients = Arc::new(ClientCounters::default());
        let reports = Reports { period: Duration::from_secs(5), reset_traffic: false };
        let reporter = ClientReporter { observer, service: "s".into(), clients: Arc::clone(&clients), reports };
        let drain = CancellationToken::new();
        let task = tokio::spawn(reporter.run(drain.clone()));
        clients.of(&ClientId::from("alice".to_owned())).input.fetch_add(1, Relaxed);
        clients.of(&ClientId::from(String::new())).input.fetch_add(2, Relaxed);
        let mut events = sent.recv().await.unwrap();
        events.sort_by_key(input);
        assert_eq!(events.iter().map(|event| event.client_id.as_deref()).collect::<Vec<_>>(), [Some("alice"), None]);
        clients.of(&ClientId::from("alice".to_owned())).input.fetch_add(1, Relaxed);
        assert_eq!(sent.recv().await.unwrap().iter().map(input).collect::<Vec<_>>(), [2], "a total");
        drain.cancel();
        task.await.unwrap();
    }
}
