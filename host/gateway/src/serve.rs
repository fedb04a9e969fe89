//! The accept loop.

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::ServiceState;
use drawspan_proxy::listener::{AcceptError, Listener};
use drawspan_proxy::{ClientReporter, Service, ServiceMetrics, ServiceReporter};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sid::Sids;

/// After an error that may pass (GOST reference, dataplane 2); each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A service that listens.
pub(crate) struct Serving {
    pub(crate) listener: Listener,
    pub(crate) service: Arc<Service>,
    pub(crate) sids: Arc<Sids>,
    pub(crate) reporter: Option<ServiceReporter>,
    pub(crate) client_reporter: Option<ClientReporter>,
}

/// Accepts until `drain` is cancelled, with a task of `connections` for each connection. Nothing in this loop waits for
/// anything but the listener: a slow plugin never keeps others from being accepted.
pub(crate) async fn serve(serving: Serving, drain: CancellationToken, connections: TaskTracker) {
    let Serving { listener, service, sids, reporter, client_reporter } = serving;
    let (states, receiver) = mpsc::unbounded_channel();
    if let Some(reporter) = reporter {
        connections.spawn(reporter.run(receiver));
    }
    if let Some(reporter) = client_reporter {
        connections.spawn(reporter.run(drain.clone()));
    }
    // Without a reporter nobody listens.
    let tell = |state| {
        let _ = states.send(state);
    };
    tell(ServiceState::Running);
    let (name, network) = (Arc::clone(&service.name), listener.network());
    tracing::info!(kind = "service", service = %name, "listening on {}/{network}", listener.address());
    tell(ServiceState::Ready);
    let _accepting = service.metrics.as_ref().map(ServiceMetrics::accepting);
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = drain.cancelled() => return tell(ServiceState::Closed),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                if pause > FIRST_PAUSE {
                    tell(ServiceState::Ready);
                }
                pause = FIRST_PAUSE;
                let (service, sids, drain) = (Arc::clone(&service), Arc::clone(&sids), drain.clone());
                connections.spawn(async move { service.serve(accepted, network, &|| sids.next(), drain).await });
            }
            Err(AcceptError::Temporary(error)) => {
                tracing::error!(kind = "service", service = %name, %error, "can't accept; trying again in {pause:?}");
                if pause == FIRST_PAUSE {
                    tell(ServiceState::Failed);
                }
                tokio::select! {
                    () = drain.cancelled() => return tell(ServiceState::Closed),
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                tracing::error!(kind = "service", service = %name, "the service is over: {error}");
                return tell(ServiceState::Closed);
            }
        }
    }
}
