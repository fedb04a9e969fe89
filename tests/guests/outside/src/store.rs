//! Keys and values, in the store `default`.

use std::mem::forget;

use crate::{
    Outcome,
    wasi::keyvalue::{
        atomics, batch,
        store::{self, Bucket, Error},
    },
};

pub(crate) fn open(name: &str) -> Result<Bucket, String> {
    store::open(name).map_err(told)
}

fn bucket() -> Result<Bucket, String> {
    open("default")
}

fn told(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".into(),
        Error::AccessDenied => "access denied".into(),
        Error::Other(text) => text,
    }
}

fn text(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "none".into(), |value| String::from_utf8_lossy(&value).into_owned())
}

fn pair(argument: &str) -> (&str, &str) {
    argument.split_once('=').unwrap_or((argument, ""))
}

pub(crate) fn get(key: &str) -> Outcome {
    bucket()?.get(key).map(text).map_err(told)
}

/// `KEY=VALUE`.
pub(crate) fn set(argument: &str) -> Outcome {
    let (key, value) = pair(argument);
    bucket()?.set(key, value.as_bytes()).map_err(told)?;
    Ok("set".into())
}

pub(crate) fn delete(key: &str) -> Outcome {
    bucket()?.delete(key).map_err(told)?;
    Ok("deleted".into())
}

pub(crate) fn exists(key: &str) -> Outcome {
    bucket()?.exists(key).map(|exists| exists.to_string()).map_err(told)
}

/// `KEY=VALUE`: refused when another value is there.
pub(crate) fn expect(argument: &str) -> Outcome {
    let (key, expected) = pair(argument);
    let found = get(key)?;
    if found == expected { Ok(found) } else { Err(format!("it is {found}")) }
}

/// `KEY=DELTA`.
pub(crate) fn increment(argument: &str) -> Outcome {
    let (key, delta) = pair(argument);
    let delta = delta.parse().unwrap_or(1);
    atomics::increment(&bucket()?, key, delta).map(|sum| sum.to_string()).map_err(told)
}

/// All keys, sorted, each once.
pub(crate) fn keys() -> Outcome {
    let bucket = bucket()?;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor).map_err(told)?;
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            all.sort();
            all.dedup();
            return Ok(all.join(" "));
        }
    }
}

/// `KEY KEY …`.
pub(crate) fn get_many(argument: &str) -> Outcome {
    let keys: Vec<String> = argument.split(' ').map(Into::into).collect();
    let found = batch::get_many(&bucket()?, &keys).map_err(told)?;
    let each = found.into_iter().map(|found| match found {
        Some((key, value)) => format!("{key}={}", String::from_utf8_lossy(&value)),
        None => "none".into(),
    });
    Ok(each.collect::<Vec<_>>().join(" "))
}

/// `KEY=VALUE KEY=VALUE …`.
pub(crate) fn set_many(argument: &str) -> Outcome {
    let pairs: Vec<_> = argument.split(' ').map(pair).map(|(key, value)| (key.into(), value.into())).collect();
    batch::set_many(&bucket()?, &pairs).map_err(told)?;
    Ok("set".into())
}

/// `KEY KEY …`.
pub(crate) fn delete_many(argument: &str) -> Outcome {
    let keys: Vec<String> = argument.split(' ').map(Into::into).collect();
    batch::delete_many(&bucket()?, &keys).map_err(told)?;
    Ok("deleted".into())
}

/// Opens the store and never closes it.
pub(crate) fn hoard() -> Outcome {
    loop {
        forget(bucket()?);
    }
}

/// Sets a value of so many bytes.
pub(crate) fn large(argument: &str) -> Outcome {
    bucket()?.set("large", &vec![b'x'; argument.parse().unwrap_or(0)]).map_err(told)?;
    Ok("set".into())
}
