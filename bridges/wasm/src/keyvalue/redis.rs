//! [`RedisStore`]: keys and values in a Redis server, where replicas of the gateway share them.

mod link;

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, RedisError, cmd, pipe};

use super::{Error, Found, KeyResponse};
use link::Link;

/// A Redis server, and what of it is the store.
#[derive(Clone)]
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
    /// What is put before every key: whoever has the same prefix has the same keys.
    pub prefix: String,
}

/// How many keys one `get-many` may ask.
const KEYS: usize = 4096;
/// About how many keys a page of `list-keys` has.
const PAGE: usize = 256;

/// Keys under a prefix in a Redis server. Every instance of a plugin uses the same connection.
pub(super) struct RedisStore {
    name: String,
    prefix: String,
    max_value: usize,
    link: Link,
}

impl RedisStore {
    pub(super) fn new(name: &str, settings: &RedisSettings, timeout: Duration, max_value: usize) -> Self {
        let link = Link::new(name, settings, timeout);
        Self { name: name.to_owned(), prefix: settings.prefix.clone(), max_value, link }
    }

    /// Reads no more than may be passed on: others may have put anything there.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = self.key(key);
        let mut both = pipe();
        both.atomic().exists(&key).getrange(&key, 0, isize::try_from(self.max_value).unwrap_or(isize::MAX));
        let (exists, value): (bool, Vec<u8>) = self.ask(&both).await?;
        if value.len() > self.max_value {
            return Err(self.too_large());
        }
        Ok(exists.then_some(value))
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Error> {
        self.ask_one(cmd("EXISTS").arg(self.key(key))).await
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.ask_one(cmd("SET").arg(self.key(key)).arg(value)).await
    }

    pub(super) async fn delete(&self, keys: &[String]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        self.ask_one(cmd("DEL").arg(keys)).await
    }

    /// A key that is there all the time is listed at least once, perhaps twice: so Redis has it.
    pub(super) async fn page(&self, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let pattern = format!("{}*", escaped(&self.prefix));
        let mut cursor = cursor.unwrap_or(0);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE);
            let (next, found): (u64, Vec<Vec<u8>>) = self.ask_one(&scan).await?;
            // What isn't text wasn't put there by a component.
            let texts = found.into_iter().filter_map(|key| String::from_utf8(key).ok());
            let keys: Vec<String> = texts.filter_map(|key| Some(key.strip_prefix(&self.prefix)?.to_owned())).collect();
            cursor = next;
            if cursor == 0 || !keys.is_empty() {
                return Ok(KeyResponse { keys, cursor: (cursor != 0).then_some(cursor) });
            }
        }
    }

    /// Redis counts to 2⁶³ - 1.
    pub(super) async fn increment(&self, key: &str, delta: u64) -> Result<u64, Error> {
        let end = || Error::Other(format!("`{key}` in the store `{}` is at its end, or below 0", self.name));
        let delta = i64::try_from(delta).map_err(|_| end())?;
        let sum: i64 = self.ask_one(cmd("INCRBY").arg(self.key(key)).arg(delta)).await?;
        u64::try_from(sum).map_err(|_| end())
    }

    /// Asks for sizes first: what is fetched then is no more than may be passed on.
    pub(super) async fn get_many(&self, keys: Vec<String>) -> Result<Found, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if keys.len() > KEYS {
            return Err(Error::Other(format!("more than {KEYS} keys at once")));
        }
        let mut sizes = pipe();
        for key in &keys {
            let key = self.key(key);
            sizes.exists(&key).strlen(&key);
        }
        let sizes: Vec<usize> = self.ask(&sizes).await?;
        let sizes = || sizes.chunks_exact(2).map(|pair| (pair[0] > 0, pair[1]));
        if sizes().try_fold(0_usize, |sum, (_, size)| sum.checked_add(size)).is_none_or(|sum| sum > self.max_value) {
            return Err(self.too_large());
        }
        let mut values = pipe();
        let mut wanted = 0;
        for (key, (_, size)) in keys.iter().zip(sizes()).filter(|(_, (_, size))| *size > 0) {
            values.getrange(self.key(key), 0, isize::try_from(size - 1).unwrap_or(isize::MAX));
            wanted += 1;
        }
        let values: Vec<Vec<u8>> = if wanted > 0 { self.ask(&values).await? } else { Vec::new() };
        let mut values = values.into_iter();
        let mut value = |size| if size > 0 { values.next().unwrap_or_default() } else { Vec::new() };
        Ok(keys.into_iter().zip(sizes()).map(|(key, (exists, size))| exists.then(|| (key, value(size)))).collect())
    }

    /// All of them or none.
    pub(super) async fn set_many(&self, key_values: &[(String, Vec<u8>)]) -> Result<(), Error> {
        if key_values.is_empty() {
            return Ok(());
        }
        let mut set = cmd("MSET");
        for (key, value) in key_values {
            set.arg(self.key(key)).arg(value.as_slice());
        }
        self.ask_one(&set).await
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn ask_one<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        self.link
            .ask(async |connection| command.query_async(connection).await)
            .await
            .map_err(|error| self.failed(&error))
    }

    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        let answer = self.link.ask(async |connection| pipeline.query_async(connection).await).await;
        answer.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &RedisError) -> Error {
        Error::Other(format!("the store `{}` doesn't answer as it should: {error}", self.name))
    }

    fn too_large(&self) -> Error {
        Error::Other(format!("more than {} bytes at once (maxReply)", self.max_value))
    }
}

/// A glob that stands for `text` itself.
fn escaped(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(escaped("drawspan:a*b[c]?\\:"), r"drawspan:a\*b\[c\]\?\\:");
    }
}
