use std::net::IpAddr;

use super::*;

/// Bytes of hexadecimal digits; `|` and blanks are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

const NAME: &str = "03 777777 | 04 54657374 | 00";

/// What `www.Test` has for addresses, asked under 0x1234 with recursion desired, and what follows.
fn query(additional: &str, records: &str) -> Vec<u8> {
    hex(&format!("1234 0100 0001 0000 0000 {additional} | {NAME} 0001 0001 | {records}"))
}

fn plain() -> Query {
    Query::parse(&query("0000", "")).unwrap()
}

/// With a payload of 4096, DNSSEC OK, a cookie, a subnet and an unknown option.
fn edns() -> Query {
    let options = "000a 0008 0102030405060708 | 0008 0007 0001 18 00 c63364 | fde9 0002 abcd";
    Query::parse(&query("0001", &format!("00 0029 1000 00008000 001d {options}"))).unwrap()
}

#[test]
fn a_query_is_read() {
    let query = plain();
    assert_eq!((query.id(), query.record_type(), query.class()), (0x1234, 1, 1));
    assert_eq!((query.name().as_str(), query.wants_ipv4()), ("www.Test.", Some(true)));
    for (question, name, wants) in [
        ("00 0001 0001", ".", Some(true)),
        ("01 61 00 001c 0001", "a.", Some(false)),
        ("01 61 00 001c 0003", "a.", None),
        ("01 61 00 000f 0001", "a.", None),
        ("04 61 2e 5c 00 01 ff 00 0001 0001", r"a\.\\\000.\255.", Some(true)),
    ] {
        let query = Query::parse(&hex(&format!("0000 0000 0001 0000 0000 0000 {question}"))).unwrap();
        assert_eq!((query.name().as_str(), query.wants_ipv4()), (name, wants));
    }
}

#[test]
fn what_isnt_a_query_is_refused_as_gosts_library_does() {
    let refused = |reply: &str| Err(Unusable::Refused(hex(reply)));
    for (message, outcome) in [
        ("", Err(Unusable::Unanswerable)),
        ("1234 0100 0001 0000 0000 00", Err(Unusable::Unanswerable)),
        ("1234 8100 0001 0000 0000 0000 00 0001 0001", Err(Unusable::Unanswerable)),
        // An update, no question, two, too many records, cut off, a pointer, two OPT records.
        ("1234 2810 0001 0000 0000 0000 00 0001 0001", refused("1234 a814 0000 0000 0000 0000")),
        ("1234 0100 0000 0000 0000 0000", refused("1234 8101 0000 0000 0000 0000")),
        ("1234 0100 0002 0000 0000 0000 00 0001 0001 00 0001 0001", refused("1234 8101 0000 0000 0000 0000")),
        ("1234 0100 0001 0002 0000 0000 00 0001 0001", refused("1234 8101 0000 0000 0000 0000")),
        ("1234 0100 0001 0000 0000 0000 00 0001 00", refused("1234 8101 0000 0000 0000 0000")),
        ("1234 0100 0001 0000 0000 0000 c000 0001 0001", refused("1234 8101 0000 0000 0000 0000")),
        ("1234 0100 0001 0000 0000 0001 00 0001 0001", refused("1234 8101 0000 0000 0000 0000")),
        (
            "1234 0100 0001 0000 0000 0002 00 0001 0001 00 0029 0200 00000000 0000 00 0029 0200 00000000 0000",
            refused("1234 8101 0000 0000 0000 0000"),
        ),
    ] {
        assert_eq!(Query::parse(&hex(message)), outcome, "{message}");
    }
    let mut long = query("0000", "");
    long.resize(MAX_QUERY, 0);
    assert!(Query::parse(&long).is_ok(), "what is behind it is nobody's business");
    long.push(0);
    assert!(matches!(Query::parse(&long), Err(Unusable::Refused(_))));
    let label = format!("3f {}", "61".repeat(63));
    for (labels, is_name) in [
        (format!("{label}{label}{label} 3d {} 00", "61".repeat(61)), true),
        (format!("{label}{label}{label}{label} 00"), false),
    ] {
        let message = hex(&format!("0000 0000 0001 0000 0000 0000 {labels} 0001 0001"));
        assert_eq!(Query::parse(&message).is_ok(), is_name);
    }
}

#[test]
fn a_server_is_asked_what_the_client_asks() {
    assert_eq!(plain().forward(0x1234, None), query("0000", ""));
    let v4: IpAddr = "192.0.2.77".parse().unwrap();
    let subnet = query("0001", "00 0029 04d0 00000000 000b 0008 0007 0001 18 00 c00002");
    assert_eq!(plain().forward(0x1234, Some(v4)), subnet);
    // The cookie is for us alone.
    let kept = query("0001", "00 0029 04d0 00008000 0011 0008 0007 0001 18 00 c63364 fde9 0002 abcd");
    assert_eq!(edns().forward(0x1234, None), kept);
    let v6: IpAddr = "2001:db8::77".parse().unwrap();
    let option = "0008 0014 0002 80 00 20010db8 00000000 00000000 00000077";
    let replaced = query("0001", &format!("00 0029 04d0 00008000 001e fde9 0002 abcd {option}"));
    assert_eq!(edns().forward(0x1234, Some(v6)), replaced);
    for forwarded in [kept, replaced, subnet] {
        assert_eq!(Query::parse(&forwarded).unwrap().forward(0x1234, None), forwarded, "it is a query itself");
    }
}

#[test]
fn what_has_the_same_answers_has_the_same_key() {
    let spelled =
        |name: &str| Query::parse(&hex(&format!("9999 0100 0001 0000 0000 0000 {name} 0001 0001"))).unwrap().key(None);
    assert_eq!(spelled(NAME), spelled("03 575757 04 74455354 00"));
    assert_ne!(spelled(NAME), spelled("03 575756 04 74455354 00"));
    assert_ne!(plain().key(None), edns().key(None));
    assert_ne!(plain().key(None), plain().key(Some([192, 0, 2, 1].into())));
    // 0x41 and 0x61 are a letter in both cases, and two types.
    let typed = |number: &str| Query::parse(&hex(&format!("0000 0000 0001 0000 0000 0000 00 {number} 0001"))).unwrap();
    assert_ne!(typed("0041").key(None), typed("0061").key(None));
}

#[test]
fn own_answers() {
    assert_eq!(plain().empty(), hex(&format!("1234 8100 0001 0000 0000 0000 {NAME} 0001 0001")));
    let addresses = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
    let records = format!("{NAME} 0001 0001 00000e10 0004 c0000201 {NAME} 0001 0001 00000e10 0004 c0000202");
    let reply = hex(&format!("1234 8100 0001 0002 0000 0000 {NAME} 0001 0001 {records}"));
    assert_eq!(plain().addresses(&addresses, 3600), reply);
    let many = vec![IpAddr::from([192, 0, 2, 1]); 10_000];
    let reply = plain().addresses(&many, 3600);
    let count = u16::from_be_bytes([reply[6], reply[7]]);
    assert!(reply.len() <= u16::MAX.into() && count > 1000 && reply.len() == 26 + usize::from(count) * 24, "{count}");
}

#[test]
fn what_a_datagram_cant_hold_is_said_to_be_too_long() {
    let long = [plain().addresses(&[[192, 0, 2, 1].into()], 1), vec![7; 600]].concat();
    assert_eq!(plain().datagram(long.clone()), hex(&format!("1234 8300 0001 0000 0000 0000 {NAME} 0001 0001")));
    assert_eq!(edns().datagram(long.clone()), long, "4096 bytes are taken");
    let longer = [long, vec![7; 4096]].concat();
    let cut = format!("1234 8300 0001 0000 0000 0001 {NAME} 0001 0001 00 0029 04d0 00008000 0000");
    assert_eq!(edns().datagram(longer), hex(&cut));
    assert_eq!(plain().datagram(vec![1; 512]), vec![1; 512]);
}

/// A server's answer to `plain`: a CNAME for 300 s, an address for 60 s, an authority for 9 s and EDNS.
fn answer() -> Vec<u8> {
    let records = "c00c 0005 0001 0000012c 0002 c010 | c010 0001 0001 0000003c 0004 c0000201";
    let rest = "c010 0002 0001 00000009 0002 c00c | 00 0029 04d0 00000000 0000";
    hex(&format!("1234 8180 0001 0002 0001 0001 | 03 777777 04 74657374 00 0001 0001 | {records} | {rest}"))
}

#[test]
fn an_answer_is_passed_on_to_who_asked() {
    let question = plain().forward(0x1234, None);
    let mut kept = Answer::parse(&answer(), &question).unwrap();
    assert_eq!((kept.code(), kept.ttl(), kept.message()), (0, Some(60), &answer()[..]));
    // Its number, its spelling, no EDNS for who doesn't know it.
    let other = Query::parse(&hex(&format!("9999 0100 0001 0000 0000 0000 {NAME} 0001 0001"))).unwrap();
    let mut expected = answer();
    expected.truncate(expected.len() - 11);
    expected[11] = 0;
    expected[..2].copy_from_slice(&[0x99, 0x99]);
    expected[17] = b'T';
    assert_eq!(kept.reply(&other, None), expected);
    let with_edns = kept.reply(&edns(), None);
    assert_eq!((with_edns.len(), with_edns[11]), (answer().len(), 1));
    // Ten seconds later; less than a second is a second.
    let ttls = |reply: &[u8]| {
        let (mut cursor, mut ttls) = (Cursor::new(reply), Vec::new());
        cursor.take(26).unwrap();
        while let Ok(Fields { ttl, .. }) = Fields::take(&mut cursor) {
            ttls.push(ttl);
        }
        ttls
    };
    assert_eq!(ttls(&kept.reply(&other, Some(10))), [290, 50, 1]);
    kept.set_ttl(100);
    assert_eq!(ttls(&kept.reply(&other, Some(10))), [90, 90, 1]);
    assert_eq!(kept.ttl(), Some(100));
}

#[test]
fn other_messages_are_no_answers() {
    let question = plain().forward(0x1234, None);
    let broken = |change: fn(&mut Vec<u8>)| {
        let mut message = answer();
        change(&mut message);
        Answer::parse(&message, &question)
    };
    assert!(broken(|_| ()).is_some());
    for change in [
        (|message| message[0] ^= 1) as fn(&mut Vec<u8>),
        |message| message[2] = 0x01,
        |message| message[2] = 0x91,
        |message| message[5] = 2,
        |message| message[13] = b'x',
        |message| message[22] = 0x1c,
        |message| message[7] = 9,
        |message| message.truncate(40),
        |message| message.clear(),
    ] {
        assert!(broken(change).is_none());
    }
    assert!(!is_truncated(&answer()) && is_truncated(&hex("1234 8300")) && !is_truncated(&[]));
}
