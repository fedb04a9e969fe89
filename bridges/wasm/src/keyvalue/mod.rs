//! `wasi:keyvalue`: what a plugin's instances remember together.

mod memory;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker, Resource};

use crate::host::Host;
use memory::MemoryStore;
use redis::RedisStore;

pub use redis::RedisSettings;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue.wit",
        world: "imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::keyvalue::Bucket },
    });
}

use bindings::wasi::keyvalue::store::{Error, KeyResponse};
use bindings::wasi::keyvalue::{atomics, batch, store};

/// The package that is linked here, and its only version: drafts aren't compatible with each other.
pub(crate) const PACKAGE: &str = "wasi:keyvalue/";
pub(crate) const VERSION: &str = "@0.2.0-draft";

/// Where a store of `wasi:keyvalue` keeps what it is given.
#[derive(Clone)]
pub enum StoreSettings {
    /// In this process: private to the plugin, shared by its instances, gone with it.
    Memory {
        /// The most bytes that it may hold.
        size: usize,
    },
    /// In a Redis server. It isn't contacted before the store is used.
    Redis(RedisSettings),
}

/// A guest's handle.
#[allow(unreachable_pub, reason = "the bindings export it again")]
#[derive(Clone)]
pub struct Bucket(Arc<Store>);

struct Store {
    name: String,
    kind: Kind,
}

enum Kind {
    Memory(MemoryStore),
    Redis(RedisStore),
}

impl Bucket {
    /// An operation takes at most `timeout`, and what it finds has at most `max_value` bytes. Must run in a tokio runtime, on
    /// which connections live then.
    pub(crate) fn new(name: &str, settings: &StoreSettings, timeout: Duration, max_value: usize) -> Self {
        let kind = match settings {
            StoreSettings::Memory { size } => Kind::Memory(MemoryStore::new(name.to_owned(), *size)),
            StoreSettings::Redis(settings) => Kind::Redis(RedisStore::new(name, settings, timeout, max_value)),
        };
        Self(Arc::new(Store { name: name.to_owned(), kind }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    store::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    atomics::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    batch::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)
}

/// What `get-many` finds: keys with their values.
type Found = Vec<Option<(String, Vec<u8>)>>;
/// What an operation gives: a trap, or what the guest is told.
type Told<T> = wasmtime::Result<Result<T, Error>>;

impl Host {
    fn bucket(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<Bucket> {
        Ok(self.table().get(bucket)?.clone())
    }
}

impl store::Host for Host {
    async fn open(&mut self, identifier: String) -> Told<Resource<Bucket>> {
        let Some(store) = self.grants().store(&identifier) else { return Ok(Err(Error::NoSuchStore)) };
        Ok(Ok(self.table_mut().push(store)?))
    }
}

impl store::HostBucket for Host {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Told<Option<Vec<u8>>> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => Ok(store.get(&key)),
            Kind::Redis(store) => store.get(&key).await,
        })
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Told<()> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => store.set(&key, value),
            Kind::Redis(store) => store.set(&key, &value).await,
        })
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Told<()> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => {
                store.delete(&key);
                Ok(())
            }
            Kind::Redis(store) => store.delete(&[key]).await,
        })
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Told<bool> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => Ok(store.exists(&key)),
            Kind::Redis(store) => store.exists(&key).await,
        })
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Told<KeyResponse> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => Ok(store.page(cursor)),
            Kind::Redis(store) => store.page(cursor).await,
        })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table_mut().delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Host {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Told<u64> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => store.increment(&key, delta),
            Kind::Redis(store) => store.increment(&key, delta).await,
        })
    }
}

impl batch::Host for Host {
    async fn get_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Told<Found> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => store.get_many(keys),
            Kind::Redis(store) => store.get_many(keys).await,
        })
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> Told<()> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => key_values.into_iter().try_for_each(|(key, value)| store.set(&key, value)),
            Kind::Redis(store) => store.set_many(&key_values).await,
        })
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Told<()> {
        Ok(match &self.bucket(&bucket)?.0.kind {
            Kind::Memory(store) => {
                keys.iter().for_each(|key| store.delete(key));
                Ok(())
            }
            Kind::Redis(store) => store.delete(&keys).await,
        })
    }
}
