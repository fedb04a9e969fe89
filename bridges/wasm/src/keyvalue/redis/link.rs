//! [`Link`]: the connection to a Redis server, made when it is needed and made again when it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError, cmd,
};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::RedisSettings;

/// How long a server that can't be reached isn't tried again; calls in between fail at once.
const PAUSE: Duration = Duration::from_millis(250);
/// A connection that wasn't used for so long may have been closed by the server, and is tried first.
const IDLE: Duration = Duration::from_secs(5);

/// The connection to a server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    store: String,
    address: String,
    /// Or why there can't be any.
    client: Result<Client, RedisError>,
    config: AsyncConnectionConfig,
    /// Connections live here, whatever becomes of the call that needed one.
    runtime: Handle,
    state: Mutex<State>,
    is_down: AtomicBool,
}

#[derive(Default)]
struct State {
    connection: Option<Used>,
    failed: Option<(Instant, RedisError)>,
    made: u64,
}

#[derive(Clone)]
struct Used {
    connection: MultiplexedConnection,
    /// Tells it from those before and after it.
    number: u64,
    last: Instant,
}

impl Link {
    pub(super) fn new(store: &str, settings: &RedisSettings, timeout: Duration) -> Self {
        let mut redis = RedisConnectionInfo::default().set_db(settings.db.into());
        if let Some(username) = &settings.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &settings.password {
            redis = redis.set_password(password);
        }
        // A server that vanished without a word is noticed within half a minute.
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive.with_retries(3));
        let client = ConnectionAddr::Tcp(settings.host.clone(), settings.port)
            .into_connection_info()
            .and_then(|info| Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp)));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some((timeout / 2).min(Duration::from_secs(5))))
            .set_response_timeout(Some(timeout));
        Self(Arc::new(Inner {
            store: store.to_owned(),
            address: format!("{}:{}", settings.host, settings.port),
            client,
            config,
            runtime: Handle::current(),
            state: Mutex::default(),
            is_down: AtomicBool::new(false),
        }))
    }

    /// Asks once. A failure of the connection is an error, and the next to ask has a new one; nothing is asked twice, since
    /// nobody knows whether the server heard it.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        // On a task of its own: a call that is given up doesn't take the attempt with it on which others wait.
        let link = self.clone();
        let connected = self.0.runtime.spawn(async move { link.connected().await });
        let Used { mut connection, number, .. } = connected.await.unwrap_or_else(|error| Err(broken(error)))?;
        let answer = question(&mut connection).await;
        match &answer {
            Err(error) if error.is_unrecoverable_error() || error.is_io_error() && !error.is_timeout() => {
                self.lost(number, error).await;
            }
            _ => {}
        }
        answer
    }

    async fn connected(&self) -> Result<Used, RedisError> {
        let mut state = self.0.state.lock().await;
        if let Some(used) = &mut state.connection {
            let idle = used.last.elapsed();
            used.last = Instant::now();
            if idle < IDLE || cmd("PING").exec_async(&mut used.connection).await.is_ok() {
                return Ok(used.clone());
            }
            state.connection = None;
        }
        if let Some((when, error)) = &state.failed
            && when.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match self.connect().await {
            Ok(connection) => {
                if self.0.is_down.swap(false, Ordering::Relaxed) {
                    tracing::info!(
                        kind = "plugin",
                        store = self.0.store,
                        address = self.0.address,
                        "redis answers again"
                    );
                }
                state.failed = None;
                state.made += 1;
                let used = Used { connection, number: state.made, last: Instant::now() };
                state.connection = Some(used.clone());
                Ok(used)
            }
            Err(error) => {
                self.down(&error);
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let client = self.0.client.as_ref().map_err(Clone::clone)?;
        client.get_multiplexed_async_connection_with_config(&self.0.config).await
    }

    /// Lets go of the connection with this number, if it is still the one in use.
    async fn lost(&self, number: u64, error: &RedisError) {
        self.down(error);
        let mut state = self.0.state.lock().await;
        if state.connection.as_ref().is_some_and(|used| used.number == number) {
            state.connection = None;
        }
    }

    /// Logged once per outage.
    fn down(&self, error: &RedisError) {
        if !self.0.is_down.swap(true, Ordering::Relaxed) {
            let (store, address) = (&self.0.store, &self.0.address);
            tracing::warn!(kind = "plugin", store, address, %error, "redis can't be reached");
        }
    }
}

fn broken(error: impl std::fmt::Display) -> RedisError {
    RedisError::from((ErrorKind::Io, "the connection could not be made", error.to_string()))
}
