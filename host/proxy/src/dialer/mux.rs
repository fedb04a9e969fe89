//! [`Mux`]: many connections in one (GOST reference, dataplane 5 and 10).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use drawspan_modules::Addr;
use drawspan_smux::{Config, Session};

use super::Layered;
use crate::net::{Buffered, Carried, Stream};
use crate::router::NodeAddr;

/// A transport whose connections carry many: one for each address, which lives as long as it can, and as long as it or the
/// node is used.
pub struct Mux {
    /// What is spoken below it.
    pub(super) over: Layered,
    config: Config,
    carriers: Mutex<HashMap<NodeAddr, Slot>>,
}

/// Where a carrier is, or will be: locked while one is made, so that others wait for it.
type Slot = Arc<tokio::sync::Mutex<Option<Carrier>>>;

/// A connection that carries many.
struct Carrier {
    session: Arc<Session>,
    local: Addr,
    peer: Addr,
}

impl Mux {
    /// Over that transport. The config was [checked](Config::check): otherwise no connection is made.
    #[must_use]
    pub fn new(over: Layered, config: Config) -> Self {
        Self { over, config, carriers: Mutex::default() }
    }

    fn slot(&self, addr: &NodeAddr) -> Slot {
        let mut carriers = self.carriers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = carriers.get(addr) {
            return Arc::clone(slot);
        }
        // A node's name may come to have many addresses: those that lead nowhere any more are forgotten.
        carriers.retain(|_, slot| Arc::strong_count(slot) > 1 || is_alive(slot));
        Arc::clone(carriers.entry(addr.clone()).or_default())
    }

    /// A connection in the one that there is; `None` if there is none.
    pub(crate) fn reuse(&self, addr: &NodeAddr) -> Option<Buffered> {
        self.slot(addr).try_lock().ok()?.as_ref().and_then(Carrier::open)
    }

    /// A connection in the one that there is, or that `dial` makes. Dropping the future gives that up; another one that
    /// waits for it makes its own.
    ///
    /// # Errors
    /// Those of `dial`, or `broken` of why nothing can be carried.
    pub(crate) async fn connect<E>(
        &self,
        addr: &NodeAddr,
        dial: impl Future<Output = Result<Buffered, E>>,
        broken: impl Fn(&dyn ToString) -> E,
    ) -> Result<Buffered, E> {
        let slot = self.slot(addr);
        let mut carrier = slot.lock().await;
        if let Some(conn) = carrier.as_ref().and_then(Carrier::open) {
            return Ok(conn);
        }
        let conn = dial.await?;
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let session = Session::client(conn.into_stream(), self.config).map_err(|error| broken(&error))?;
        let carrier = carrier.insert(Carrier { session: Arc::new(session), local, peer });
        carrier.open().ok_or_else(|| broken(&"the mux session ended at once"))
    }
}

fn is_alive(slot: &Slot) -> bool {
    slot.try_lock().is_ok_and(|carrier| carrier.as_ref().is_some_and(|carrier| carrier.session.ended().is_none()))
}

impl Carrier {
    fn open(&self) -> Option<Buffered> {
        let carried = Carried::new(self.session.open().ok()?, &self.session);
        Some(Buffered::new(Stream::layered(carried, self.local.clone(), self.peer.clone())))
    }
}
