//! [`Compiler`]: each component is compiled once, however many plugins are made of it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rayon::ThreadPoolBuilder;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::LoadError;
use crate::cache::Cache;
use crate::component::{hex, one_line};

/// The SHA-256 of a file.
pub(crate) type Digest = [u8; 32];

/// Compiles, and knows what is compiled already: in use by another plugin, or on disk.
pub(crate) struct Compiler {
    cache: Option<Cache>,
    in_use: Mutex<HashMap<Digest, Weak<Slot>>>,
}

/// Where a component is, or will be when whoever holds the lock has compiled it.
type Slot = Mutex<Option<Component>>;

/// A compiled component. While one lives, the same bytes aren't compiled again.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    _slot: Arc<Slot>,
}

impl Compiler {
    pub(crate) fn new(cache: Option<Cache>) -> Self {
        Self { cache, in_use: Mutex::default() }
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// The component in `bytes`, whose digest is `digest`. May take seconds, on several threads.
    pub(crate) fn compile(&self, engine: &Engine, bytes: &[u8], digest: Digest) -> Result<Compiled, LoadError> {
        let slot = self.slot(digest);
        let mut found = slot.lock();
        let component = match &*found {
            Some(component) => component.clone(),
            None => found.insert(self.load(engine, bytes, digest)?).clone(),
        };
        drop(found);
        Ok(Compiled { component, _slot: slot })
    }

    fn slot(&self, digest: Digest) -> Arc<Slot> {
        let mut in_use = self.in_use.lock();
        if let Some(slot) = in_use.get(&digest).and_then(Weak::upgrade) {
            return slot;
        }
        in_use.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::default();
        in_use.insert(digest, Arc::downgrade(&slot));
        slot
    }

    fn load(&self, engine: &Engine, bytes: &[u8], digest: Digest) -> Result<Component, LoadError> {
        let name = hex(&digest);
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.get(engine, &name)) {
            return Ok(component);
        }
        // Threads of its own have the priority of the caller's: a low one while connections are served.
        let threads = ThreadPoolBuilder::new().thread_name(|_| "wasm-compile".into()).build();
        let threads = threads.map_err(|error| LoadError::Invalid(error.to_string()))?;
        let component = threads
            .install(|| Component::from_binary(engine, bytes))
            .map_err(|error| LoadError::Invalid(one_line(&error)))?;
        if let Some(cache) = &self.cache {
            cache.put(&component, &name);
        }
        Ok(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component: nothing in it.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn the_same_bytes_are_compiled_once_while_they_are_in_use() {
        let (engine, compiler) = (Engine::default(), Compiler::new(None));
        let one = compiler.compile(&engine, EMPTY, [1; 32]).unwrap_or_else(|error| panic!("{error}"));
        // What isn't compiled isn't looked at.
        let same = compiler.compile(&engine, b"no component", [1; 32]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(one.component.image_range(), same.component.image_range());
        assert!(compiler.compile(&engine, b"no component", [2; 32]).is_err());
        drop((one, same));
        assert!(compiler.compile(&engine, b"no component", [1; 32]).is_err(), "nobody uses it any more");
    }
}
