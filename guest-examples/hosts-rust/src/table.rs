//! The hosts file.

use std::{collections::BTreeMap, net::IpAddr};

/// Names, in lower case, with their addresses in the order of the file.
#[derive(Debug)]
pub struct Table(BTreeMap<String, Vec<IpAddr>>);

impl Table {
    /// Reads lines of an address and its names, as in `/etc/hosts`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (number, line) in common::lines(text) {
            let mut words = line.split_whitespace();
            let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            let address = address.ok_or_else(|| {
                format!("line {number} of `hosts` does not begin with an IP address")
            })?;
            let mut names = words.map(common::host).peekable();
            if names.peek().is_none() {
                return Err(format!("line {number} of `hosts` has no name"));
            }
            for name in names {
                table.entry(name).or_default().push(address);
            }
        }
        if table.is_empty() {
            return Err("`hosts` is missing or empty: write lines such as `192.0.2.7 printer` under the plugin's `config`".into());
        }
        Ok(Self(table))
    }

    /// The addresses of a name.
    pub fn lookup(&self, name: &str) -> &[IpAddr] {
        self.0.get(&common::host(name)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_addresses_of_their_lines() {
        let table = Table::parse("192.0.2.7 printer Printer.LAN # upstairs\n\n2001:db8::7 printer")
            .unwrap();
        let addresses =
            |name| -> Vec<_> { table.lookup(name).iter().map(ToString::to_string).collect() };
        assert_eq!(addresses("PRINTER"), ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(addresses("printer.lan."), ["192.0.2.7"]);
        assert!(addresses("lan").is_empty());
        assert!(addresses("192.0.2.7").is_empty());
    }

    #[test]
    fn a_bad_line_is_counted() {
        for (text, line) in [
            ("printer 192.0.2.7", "line 1"),
            ("192.0.2.7 a\n\n192.0.2.8", "line 3"),
        ] {
            assert!(Table::parse(text).unwrap_err().contains(line));
        }
        assert!(Table::parse("# nothing").unwrap_err().contains("missing"));
    }
}
