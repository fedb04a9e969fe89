//! What is told about a client.

/// A line for the log.
pub fn line(client: &str, sent: u64, received: u64) -> String {
    let client = if client.is_empty() {
        "anonymous"
    } else {
        client
    };
    format!("{client:?} sent {sent} and received {received} bytes in all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pass_for_more_than_a_name() {
        assert_eq!(
            line("alice", 1, 2),
            r#""alice" sent 1 and received 2 bytes in all"#
        );
        assert_eq!(
            line("", 0, 0),
            r#""anonymous" sent 0 and received 0 bytes in all"#
        );
        assert!(!line("a\nb", 0, 0).contains('\n'));
    }
}
