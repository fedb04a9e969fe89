//! The nodes and their weights.

/// What decides which node a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who the client is, else where it connects from.
    Client,
    /// Where the client connects from.
    Source,
    /// Nothing.
    Random,
}

/// Nodes as JSON, each with its share of a circle.
#[derive(Debug)]
pub struct Nodes {
    by: By,
    /// Where a node's share ends, and the node.
    shares: Vec<(u64, String)>,
}

impl Nodes {
    /// Reads `name=host:port` or `name=host:port*weight` between spaces or commas.
    pub fn parse(nodes: &str, by: &str, connector: &str, dialer: &str) -> Result<Self, String> {
        let by = match by {
            "" | "client" => By::Client,
            "source" => By::Source,
            "random" => By::Random,
            other => {
                return Err(format!(
                    "`by` is `{other}`, not one of client, source, random"
                ));
            }
        };
        let connector = word("connector", connector, "http")?;
        let dialer = word("dialer", dialer, "tcp")?;
        let mut shares: Vec<(u64, String)> = Vec::new();
        for entry in common::entries(nodes) {
            let bad = || format!("`{entry}` is neither name=host:port nor name=host:port*weight");
            let (name, rest) = entry.split_once('=').ok_or_else(bad)?;
            let (addr, weight) = match rest.split_once('*') {
                Some((addr, weight)) => (
                    addr,
                    weight
                        .parse::<u32>()
                        .ok()
                        .filter(|weight| *weight > 0)
                        .ok_or_else(bad)?,
                ),
                None => (rest, 1),
            };
            let (host, port) = addr.rsplit_once(':').ok_or_else(bad)?;
            // What is in these needs no quoting in JSON.
            let is_name = |text: &str, more: &str| {
                !text.is_empty()
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            if !is_name(name, "._-") || !is_name(host, "._-:[]") || port.parse::<u16>().is_err() {
                return Err(bad());
            }
            let end = shares.last().map_or(0, |(end, _)| *end) + u64::from(weight);
            let json = format!(
                r#"{{"name":"{name}","addr":"{addr}","connector":{{"type":"{connector}"}},"dialer":{{"type":"{dialer}"}}}}"#
            );
            shares.push((end, json));
        }
        if shares.is_empty() {
            return Err("`nodes` is missing or empty: write `nodes: \"name=host:port*weight …\"` under the plugin's `config`".into());
        }
        Ok(Self { by, shares })
    }

    /// What decides.
    pub fn by(&self) -> By {
        self.by
    }

    /// The node whose share `number` falls into.
    pub fn pick(&self, number: u64) -> &str {
        let total = self.shares.last().map_or(1, |(end, _)| *end);
        let index = self
            .shares
            .partition_point(|(end, _)| *end <= number % total);
        &self.shares[index].1
    }
}

/// A GOST type's name.
fn word<'a>(key: &str, value: &'a str, default: &'a str) -> Result<&'a str, String> {
    match value {
        "" => Ok(default),
        value
            if value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'+') =>
        {
            Ok(value)
        }
        value => Err(format!("`{key}` is `{value}`, which is no type's name")),
    }
}

/// FNV-1a: the same on every gateway, unlike the hashes of the standard library, with its high bits mixed into the low ones.
pub fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> Nodes {
        Nodes::parse(text, "", "", "").unwrap()
    }

    #[test]
    fn a_node_has_the_shape_of_the_config() {
        let nodes = Nodes::parse("n0=192.0.2.1:8080", "", "socks5", "tls").unwrap();
        assert_eq!(
            nodes.pick(7),
            r#"{"name":"n0","addr":"192.0.2.1:8080","connector":{"type":"socks5"},"dialer":{"type":"tls"}}"#
        );
    }

    #[test]
    fn weights_are_shares() {
        let nodes = nodes("a=a:1*3, b=[2001:db8::1]:1 c=c:1*2");
        let picked: String = (0..12)
            .map(|number| nodes.pick(number).as_bytes()[9] as char)
            .collect();
        assert_eq!(picked, "aaabccaaabcc");
    }

    #[test]
    fn many_clients_are_spread_by_weight() {
        let nodes = nodes("a=a:1*3 b=b:1");
        let on_a = (0..10_000)
            .filter(|n| nodes.pick(hash(&format!("client-{n}"))).contains("\"a\""))
            .count();
        assert!((7_000..8_000).contains(&on_a), "{on_a}");
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for text in [
            "a",
            "a=b",
            "a=b:",
            "a=b:99999",
            "=b:1",
            "a=:1",
            "a=b:1*0",
            "a=b:1*x",
            "a\"=b:1",
            "a=b\":1",
        ] {
            assert!(
                Nodes::parse(text, "", "", "").unwrap_err().contains(text),
                "{text}"
            );
        }
        assert!(
            Nodes::parse("", "", "", "")
                .unwrap_err()
                .contains("missing")
        );
        assert!(
            Nodes::parse("a=b:1", "weight", "", "")
                .unwrap_err()
                .contains("`weight`")
        );
        assert!(
            Nodes::parse("a=b:1", "", "so\"cks", "")
                .unwrap_err()
                .contains("connector")
        );
    }
}
