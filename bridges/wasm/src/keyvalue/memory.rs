//! [`MemoryStore`]: keys and values in this process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Error, Found, KeyResponse};

/// What an entry takes besides its key and its value, in bytes. Without it a guest could fill the host's memory with empty
/// values.
const OVERHEAD: usize = 128;
/// A page of `list-keys` ends after so many bytes.
const PAGE: usize = 64 << 10;

/// Keys and values in memory, at most `limit` bytes of them.
pub(super) struct MemoryStore {
    name: String,
    limit: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<Arc<str>, Entry>,
    /// The keys in the order in which they came; a cursor of `list-keys` is a number of these.
    by_age: BTreeMap<u64, Arc<str>>,
    next: u64,
    /// What all entries take.
    bytes: usize,
}

struct Entry {
    age: u64,
    value: Vec<u8>,
}

impl MemoryStore {
    pub(super) fn new(name: String, limit: usize) -> Self {
        Self { name, limit, entries: Mutex::default() }
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.entries.lock().by_key.get(key).map(|entry| entry.value.clone())
    }

    pub(super) fn exists(&self, key: &str) -> bool {
        self.entries.lock().by_key.contains_key(key)
    }

    pub(super) fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        self.put(&mut self.entries.lock(), key, value)
    }

    fn put(&self, entries: &mut Entries, key: &str, value: Vec<u8>) -> Result<(), Error> {
        let old = entries.by_key.get(key).map_or(0, |entry| size(key, &entry.value));
        let bytes = entries.bytes - old + size(key, &value);
        if bytes > self.limit {
            return Err(Error::Other(format!("the store `{}` is full: its size is {} bytes", self.name, self.limit)));
        }
        entries.bytes = bytes;
        if let Some(entry) = entries.by_key.get_mut(key) {
            entry.value = value;
        } else {
            let (key, age) = (Arc::<str>::from(key), entries.next);
            entries.next += 1;
            entries.by_age.insert(age, Arc::clone(&key));
            entries.by_key.insert(key, Entry { age, value });
        }
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.by_key.remove(key) {
            entries.by_age.remove(&entry.age);
            entries.bytes -= size(key, &entry.value);
        }
    }

    pub(super) fn page(&self, cursor: Option<u64>) -> KeyResponse {
        let entries = self.entries.lock();
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for (age, key) in entries.by_age.range((cursor.map_or(Unbounded, Excluded), Unbounded)) {
            keys.push(key.to_string());
            bytes += size(key, &[]);
            if bytes >= PAGE {
                return KeyResponse { keys, cursor: Some(*age) };
            }
        }
        KeyResponse { keys, cursor: None }
    }

    pub(super) fn increment(&self, key: &str, delta: u64) -> Result<u64, Error> {
        let mut entries = self.entries.lock();
        let number = match entries.by_key.get(key) {
            None => 0,
            Some(entry) => std::str::from_utf8(&entry.value)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| Error::Other(format!("`{key}` in the store `{}` is not a number", self.name)))?,
        };
        let sum = number
            .checked_add(delta)
            .ok_or_else(|| Error::Other(format!("`{key}` in the store `{}` is at its end", self.name)))?;
        self.put(&mut entries, key, sum.to_string().into_bytes())?;
        Ok(sum)
    }

    /// At most as many bytes as the store may hold: a guest that asks for one large value many times would otherwise have them
    /// all copied.
    pub(super) fn get_many(&self, keys: Vec<String>) -> Result<Found, Error> {
        let entries = self.entries.lock();
        let mut left = self.limit;
        keys.into_iter()
            .map(|key| {
                let Some(entry) = entries.by_key.get(key.as_str()) else { return Ok(None) };
                left = left
                    .checked_sub(entry.value.len())
                    .ok_or_else(|| Error::Other(format!("more than {} bytes at once", self.limit)))?;
                Ok(Some((key, entry.value.clone())))
            })
            .collect()
    }
}

fn size(key: &str, value: &[u8]) -> usize {
    OVERHEAD + key.len() + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(limit: usize) -> MemoryStore {
        MemoryStore::new("default".into(), limit)
    }

    #[test]
    fn what_is_set_is_there_until_it_is_deleted() {
        let store = store(1 << 20);
        assert_eq!(store.get("a"), None);
        store.set("a", b"1".into()).unwrap();
        store.set("a", b"22".into()).unwrap();
        assert_eq!(store.get("a"), Some(b"22".into()));
        assert!(store.exists("a"));
        store.delete("a");
        store.delete("a");
        assert!(!store.exists("a"));
        assert_eq!(store.entries.lock().bytes, 0);
    }

    #[test]
    fn a_full_store_keeps_what_it_has() {
        let store = store(2 * OVERHEAD + 10);
        store.set("a", vec![0; 4]).unwrap();
        store.set("b", vec![0; 4]).unwrap();
        assert!(matches!(store.set("c", vec![]), Err(Error::Other(reason)) if reason.contains("`default` is full")));
        store.set("a", vec![1; 5]).unwrap_err();
        assert_eq!(store.get("a"), Some(vec![0; 4]));
        store.delete("b");
        store.set("a", vec![1; 5]).unwrap();
    }

    #[test]
    fn numbers_are_text_and_end_at_the_largest() {
        let store = store(1 << 20);
        assert_eq!(store.increment("n", 5).unwrap(), 5);
        assert_eq!(store.increment("n", u64::MAX - 5).unwrap(), u64::MAX);
        store.increment("n", 1).unwrap_err();
        assert_eq!(store.get("n"), Some(u64::MAX.to_string().into_bytes()));
        store.set("text", b"text".into()).unwrap();
        store.increment("text", 1).unwrap_err();
    }

    #[test]
    fn pages_list_each_key_once_while_others_come_and_go() {
        let store = store(16 << 20);
        let key = |n: usize| format!("{n:0100}");
        for n in 0..1000 {
            store.set(&key(n), vec![]).unwrap();
        }
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.page(cursor);
            seen.extend(page.keys);
            pages += 1;
            // The page before and keys that are yet to come.
            store.delete(&key(0));
            store.delete(&key(999));
            store.set(&key(1000 + pages), vec![]).unwrap();
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert!(pages > 1);
        for n in 1..999 {
            assert_eq!(seen.iter().filter(|seen| **seen == key(n)).count(), 1, "{n}");
        }
    }

    #[test]
    fn many_copies_of_a_large_value_are_refused() {
        let store = store(1 << 20);
        store.set("a", vec![0; 1 << 19]).unwrap();
        let ask = |count: usize| store.get_many(vec!["a".to_owned(); count]);
        assert_eq!(ask(2).unwrap().len(), 2);
        ask(3).unwrap_err();
        assert_eq!(store.get_many(vec!["b".into()]).unwrap(), [None]);
    }
}
