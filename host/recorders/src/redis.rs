//! [`Redis`]: records under one key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_wit::recorder::WriteRequest;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError, cmd, pipe,
};
use tokio::sync::Mutex;

use crate::Sink;

/// For connecting, and for each batch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that wasn't used for so long may have been closed by the server, and is tried first.
const IDLE: Duration = Duration::from_secs(5);

/// A Redis server, and where in it records are kept.
pub struct RedisSettings {
    /// Its host, a name or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The number of the database.
    pub db: u32,
    /// For an ACL; none: Redis's default user.
    pub username: Option<String>,
    /// A secret.
    pub password: Option<String>,
    /// The key.
    pub key: String,
    /// What is at the key.
    pub kind: RedisKind,
}

/// What records are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// A set: equal records are kept once.
    Set,
    /// A list, the newest record first.
    List,
    /// A sorted set: a record's score is how often it came.
    SortedSet,
}

/// Keeps records in Redis, in their order.
pub struct Redis {
    client: Client,
    key: String,
    kind: RedisKind,
    connection: Mutex<Option<(MultiplexedConnection, Instant)>>,
}

impl Redis {
    /// Does not connect.
    ///
    /// # Errors
    /// When the settings make no address.
    pub fn new(settings: RedisSettings) -> Result<Self, String> {
        let RedisSettings { host, port, db, username, password, key, kind } = settings;
        let mut redis = RedisConnectionInfo::default().set_db(db.into());
        if let Some(username) = username {
            redis = redis.set_username(username);
        }
        if let Some(password) = password {
            redis = redis.set_password(password);
        }
        let info = ConnectionAddr::Tcp(host, port).into_connection_info();
        let client = info.and_then(|info| Client::open(info.set_redis_settings(redis)));
        Ok(Self { client: client.map_err(|error| error.to_string())?, key, kind, connection: Mutex::default() })
    }

    async fn connected(
        &self,
        kept: Option<(MultiplexedConnection, Instant)>,
    ) -> Result<MultiplexedConnection, RedisError> {
        if let Some((mut connection, used)) = kept
            && (used.elapsed() < IDLE || cmd("PING").exec_async(&mut connection).await.is_ok())
        {
            return Ok(connection);
        }
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(TIMEOUT)).set_response_timeout(Some(TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl Sink for Redis {
    const AT_A_TIME: usize = 1;
    const BATCH: usize = 256;

    async fn keep(&self, records: &[Arc<WriteRequest>]) -> Result<(), String> {
        // What fails leaves no connection behind, and the next batch has a new one.
        let mut kept = self.connection.lock().await;
        let unreachable = |error| format!("{}: {error}", self.client.get_connection_info().addr());
        let mut connection = self.connected(kept.take()).await.map_err(unreachable)?;
        let mut commands = pipe();
        for record in records {
            match self.kind {
                RedisKind::Set => commands.cmd("SADD").arg(&self.key).arg(&record.data),
                RedisKind::List => commands.cmd("LPUSH").arg(&self.key).arg(&record.data),
                RedisKind::SortedSet => commands.cmd("ZINCRBY").arg(&self.key).arg(1).arg(&record.data),
            }
            .ignore();
        }
        commands.exec_async(&mut connection).await.map_err(unreachable)?;
        *kept = Some((connection, Instant::now()));
        Ok(())
    }
}
