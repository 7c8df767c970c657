//! The golden vectors: bytes written out from the specifications, by name.

/// The named vectors of a file: the bytes of each message.
pub struct Vectors(pub Vec<(String, Vec<Vec<u8>>)>);

impl Vectors {
    pub fn binary() -> Self {
        Self::of(include_str!("../vectors/binary.txt"), |lines| {
            let digits: String = lines.iter().flat_map(|line| line.split('#').next()).collect();
            let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
            vec![digits.chunks(2).map(byte).collect()]
        })
    }

    pub fn json_rpc() -> Self {
        Self::of(include_str!("../vectors/jsonrpc.txt"), |lines| {
            lines.iter().map(|line| line.as_bytes().to_vec()).collect()
        })
    }

    pub fn of(text: &str, messages: impl Fn(&[&str]) -> Vec<Vec<u8>>) -> Self {
        let sections = text.split("\n[").skip(1).map(|section| {
            let (name, body) = section.split_once("]\n").expect("a name");
            let lines: Vec<&str> = body.lines().filter(|line| !line.is_empty()).collect();
            (name.to_owned(), messages(&lines))
        });
        Self(sections.collect())
    }

    pub fn all(&self, name: &str) -> Vec<Vec<u8>> {
        let found = self.0.iter().find(|(section, _)| section == name);
        found.unwrap_or_else(|| panic!("no vector {name}")).1.clone()
    }

    pub fn one(&self, name: &str) -> Vec<u8> {
        let mut all = self.all(name);
        assert_eq!(all.len(), 1, "{name} is one message");
        all.remove(0)
    }
}
