//! What GOST's gRPC and HTTP plugin protocols have in common: how they say what the WIT contract says otherwise. The two
//! bridges and the plugin server share it, so that no value has two meanings.
//!
//! What can't be decoded is a [`CallError`] in a reply, and a text in a request: the client is told it.

mod word;

use drawspan_wit::authenticator::ClientCertificate;
use drawspan_wit::observer::{EventDetail, Stats, Status};
use drawspan_wit::{CallError, ErrorKind, too_long};

pub use word::Word;

/// An answer that can't be used.
pub fn unusable(reason: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::BadReply, reason)
}

/// `none` is the empty string.
#[must_use]
pub fn text(known: &Option<String>) -> String {
    known.clone().unwrap_or_default()
}

/// The empty string is `none`, so `some("")` never arises.
#[must_use]
pub fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A certificate is there if anything of it is.
#[must_use]
pub fn certificate(
    common_name: String,
    alternative_names: Vec<String>,
    fingerprint: String,
) -> Option<ClientCertificate> {
    let there = !(common_name.is_empty() && alternative_names.is_empty() && fingerprint.is_empty());
    there.then_some(ClientCertificate { common_name, alternative_names, fingerprint })
}

/// The kind of an address: stable GOST doesn't send it.
#[must_use]
pub fn network(network: String, address: &str) -> String {
    let guess = if address.parse::<std::net::SocketAddr>().is_ok() { "tcp" } else { "ip" };
    known(network).unwrap_or_else(|| guess.into())
}

/// Bytes per second. 0 is no limit, so what lets nothing pass becomes the least that GOST honours.
#[must_use]
pub fn to_rate(limit: Option<u64>) -> i64 {
    limit.map_or(0, |limit| i64::try_from(limit.max(1)).unwrap_or(i64::MAX))
}

/// 0 and below is no limit.
#[must_use]
pub fn from_rate(rate: i64) -> Option<u64> {
    u64::try_from(rate).ok().filter(|rate| *rate > 0)
}

/// `none` is JSON's `null`.
#[must_use]
pub fn to_metadata(metadata: &Option<String>) -> Vec<u8> {
    metadata.as_deref().unwrap_or("null").into()
}

/// Nothing and `null` are `none`.
///
/// # Errors
/// When it isn't text.
pub fn from_metadata(bytes: Vec<u8>) -> Result<Option<String>, String> {
    let text = String::from_utf8(bytes).map_err(|_| "metadata is not UTF-8")?;
    Ok(known(text).filter(|text| text.trim() != "null"))
}

/// The node that stands for a hop's failure: one without an address. GOST can't dial it, and its dial fails; anything else that
/// isn't a node means "no node" to it, which on the first hop means directly to the target.
pub const NO_ADDRESS: &[u8] = b"{}";

/// A node as JSON text: the first value in `bytes`, as Go reads it.
///
/// # Errors
/// When it isn't a [node](drawspan_wit::node). GOST: dials the empty address.
pub fn node(bytes: &[u8]) -> Result<String, CallError> {
    drawspan_wit::node(bytes).map(str::to_owned).map_err(unusable)
}

/// A list of bounded length.
///
/// # Errors
/// When it is [too long](drawspan_wit::too_long).
pub fn list<T>(list: Vec<T>) -> Result<Vec<T>, CallError> {
    match too_long(&list) {
        None => Ok(list),
        Some(flaw) => Err(unusable(flaw)),
    }
}

/// The reply to a message whose effect is the point.
///
/// # Errors
/// When it had none.
pub fn done(ok: bool) -> Result<(), CallError> {
    if ok { Ok(()) } else { Err(CallError::new(ErrorKind::Refused, "the server answered `ok: false`")) }
}

/// What an event is about: `kind` is `stats` or `status`.
///
/// # Errors
/// When it is another, or there is no status.
pub fn detail(kind: &str, stats: Option<Stats>, status: Option<(&str, String)>) -> Result<EventDetail, String> {
    const NOTHING: Stats =
        Stats { total_connections: 0, current_connections: 0, input_bytes: 0, output_bytes: 0, total_errors: 0 };
    match (kind, status) {
        ("stats", _) => Ok(EventDetail::Stats(stats.unwrap_or(NOTHING))),
        ("status", Some((state, message))) => Ok(EventDetail::Status(Status { state: Word::read(state)?, message })),
        ("status", None) => Err("an event of type `status` has no status".into()),
        _ => Err(format!("`{}` is not a type of event", kind.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use drawspan_wit::LONGEST_LIST;

    use super::*;

    #[test]
    fn a_rate_of_gost_cannot_say_zero() {
        for (limit, rate, read) in [
            (None, 0, None),
            (Some(0), 1, Some(1)),
            (Some(1), 1, Some(1)),
            (Some(i64::MAX as u64), i64::MAX, Some(i64::MAX as u64)),
            (Some(u64::MAX), i64::MAX, Some(i64::MAX as u64)),
        ] {
            assert_eq!((to_rate(limit), from_rate(rate)), (rate, read), "{limit:?}");
        }
        assert_eq!((from_rate(-1), from_rate(i64::MIN)), (None, None));
    }

    #[test]
    fn a_list_ends() {
        assert!(list(vec![(); LONGEST_LIST]).is_ok());
        assert_eq!(list(vec![(); LONGEST_LIST + 1]).unwrap_err().to_string(), "a list of 10001 entries");
    }

    #[test]
    fn a_network_that_was_not_sent_is_guessed() {
        for (sent, address, network) in
            [("udp", "192.0.2.1:53", "udp"), ("", "192.0.2.1:53", "tcp"), ("", "[::1]:53", "tcp"), ("", "::1", "ip")]
        {
            assert_eq!(super::network(sent.into(), address), network, "{sent} {address}");
        }
    }

    #[test]
    fn metadata_of_nothing_is_null() {
        assert_eq!(to_metadata(&None), b"null");
        for (bytes, metadata) in [("", None), ("null", None), (" null\n", None), ("{}", Some("{}"))] {
            assert_eq!(from_metadata(bytes.into()), Ok(metadata.map(Into::into)), "{bytes}");
        }
        assert!(from_metadata(vec![0xff]).is_err());
    }

    #[test]
    fn an_event_has_what_its_type_says() {
        let nothing = EventDetail::Stats(Stats {
            total_connections: 0,
            current_connections: 0,
            input_bytes: 0,
            output_bytes: 0,
            total_errors: 0,
        });
        assert_eq!(detail("stats", None, Some(("ready", String::new()))), Ok(nothing));
        for (kind, status) in [("status", None), ("status", Some("gone")), ("", Some("ready")), ("Stats", None)] {
            assert!(detail(kind, None, status.map(|state| (state, String::new()))).is_err(), "{kind} {status:?}");
        }
    }
}
