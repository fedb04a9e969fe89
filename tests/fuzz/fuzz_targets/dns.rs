//! DNS messages: read without a panic, what is asked for a query is a query with the same meaning, replies fit their queries.

#![no_main]

use std::net::IpAddr;

use drawspan_wire::dns::{Answer, MAX_QUERY, Query, Unusable, is_question, is_truncated};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = is_truncated(bytes);
    match Query::parse(bytes) {
        Ok(query) => check(&query, bytes),
        Err(Unusable::Unanswerable) => assert!(!is_question(bytes)),
        Err(Unusable::Refused(reply)) => assert!(is_question(bytes) && reply.len() == 12 && !is_question(&reply)),
    }
    // Whatever it is the answer to.
    if let Some(mut answer) = Answer::parse(bytes, bytes) {
        answer.set_ttl(5);
        assert!(answer.ttl().is_none_or(|ttl| ttl == 5));
        assert_eq!(Answer::parse(answer.message(), bytes).as_ref(), Some(&answer));
    }
});

fn check(query: &Query, bytes: &[u8]) {
    assert!(is_question(bytes) && bytes.len() <= MAX_QUERY && query.name().ends_with('.'));
    let subnets = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001_u16, 0xdb8, 0, 0, 0, 0, 0, 1])];
    for subnet in [None].into_iter().chain(subnets.map(Some)) {
        let question = query.forward(query.id(), subnet);
        let same = Query::parse(&question).unwrap();
        assert_eq!((same.name(), same.record_type(), same.class()), (query.name(), query.record_type(), query.class()));
        assert_eq!(same.key(subnet), query.key(subnet));
        assert_eq!(same.forward(query.id(), subnet), question);
        let addresses = query.wants_ipv4().map(|_| query.addresses(&[[192, 0, 2, 1].into()], 60));
        for reply in [Some(query.empty()), addresses].into_iter().flatten() {
            let answer = Answer::parse(&reply, &question).unwrap();
            assert_eq!(answer.reply(query, None), reply);
            assert_eq!(answer.reply(query, Some(u32::MAX)).len(), reply.len());
            assert!(!is_question(&query.datagram(reply.repeat(40))));
        }
    }
    let cut = query.datagram(vec![0x80; usize::from(u16::MAX)]);
    assert!(is_truncated(&cut) || cut.len() == usize::from(u16::MAX));
}
