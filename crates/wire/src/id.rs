//! Info-hashes and peer ids.

use std::fmt;

/// The 20 bytes that name a swarm: the SHA-1 of a torrent's info dictionary as it came (BEP 3), or its
/// truncated SHA-256 (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SHA-256 of a torrent's info dictionary as it came (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub [u8; 32]);

impl InfoHashV2 {
    /// Its first 20 bytes, by which trackers, handshakes and the DHT name the swarm.
    pub fn truncated(self) -> InfoHash {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHash(short)
    }
}

impl fmt::Display for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Twenty bytes by which a peer names itself (BEP 3; the `-XX1234-` form is BEP 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl PeerId {
    /// The client that the id names by BEP 20 (Azureus or Shadow style), for example
    /// `libtorrent 2.1.1`; the first 8 bytes, escaped, where the code is unknown. It is a claim,
    /// and plain ASCII whatever the peer sent, but for the micro sign of one client's name.
    pub fn client(&self) -> String {
        let Self(id) = self;
        azureus(id)
            .or_else(|| others(id))
            .or_else(|| shadow(id))
            .unwrap_or_else(|| id[..8].escape_ascii().to_string())
    }
}

/// How a client writes its version into four characters.
#[derive(Clone, Copy)]
enum Version {
    /// `2110` is 2.1.1, `0D80` is 0.13.8: a number each, the last one shown unless it is 0, and as
    /// it is where it is a letter (`211s` is 2.1.1s).
    Dotted,
    /// `0172` is 1.72: two digits each.
    Pairs,
    /// As `Dotted`, but before version 4 one number and two digits: `2940` is 2.94.
    Transmission,
}

/// Azureus-style codes (BEP 20, and what has appeared since), sorted.
#[rustfmt::skip]
const AZUREUS: &[(&[u8; 2], &str, Version)] = &[
    (b"7T", "aTorrent", Version::Dotted),
    (b"AG", "Ares", Version::Dotted),
    (b"AR", "Arctic", Version::Dotted),
    (b"AT", "Artemis", Version::Dotted),
    (b"AX", "BitPump", Version::Pairs),
    (b"AZ", "Azureus", Version::Dotted),
    (b"A~", "Ares", Version::Dotted),
    (b"BB", "BitBuddy", Version::Dotted),
    (b"BC", "BitComet", Version::Pairs),
    (b"BE", "baretorrent", Version::Dotted),
    (b"BF", "Bitflu", Version::Dotted),
    (b"BG", "BTG", Version::Dotted),
    (b"BI", "BiglyBT", Version::Dotted),
    (b"BL", "BitLord", Version::Dotted),
    (b"BR", "BitRocket", Version::Dotted),
    (b"BS", "BTSlave", Version::Dotted),
    (b"BT", "BitTorrent", Version::Dotted),
    (b"BW", "BitWombat", Version::Dotted),
    (b"BX", "Bittorrent X", Version::Dotted),
    (b"CD", "Enhanced CTorrent", Version::Dotted),
    (b"CT", "CTorrent", Version::Dotted),
    (b"DE", "Deluge", Version::Dotted),
    (b"EB", "EBit", Version::Dotted),
    (b"ES", "electric sheep", Version::Dotted),
    (b"FD", "Free Download Manager", Version::Dotted),
    (b"FL", "Flud", Version::Dotted),
    (b"FT", "FoxTorrent", Version::Dotted),
    (b"FW", "FrostWire", Version::Dotted),
    (b"FX", "Freebox BitTorrent", Version::Dotted),
    (b"HL", "Halite", Version::Dotted),
    (b"HN", "Hydranode", Version::Dotted),
    (b"KG", "KGet", Version::Dotted),
    (b"KT", "KTorrent", Version::Dotted),
    (b"LC", "LeechCraft", Version::Dotted),
    (b"LH", "LH-ABC", Version::Dotted),
    (b"LP", "Lphant", Version::Pairs),
    (b"LT", "libtorrent", Version::Dotted),
    (b"LW", "LimeWire", Version::Dotted),
    (b"MO", "MonoTorrent", Version::Dotted),
    (b"MP", "MooPolice", Version::Dotted),
    (b"MR", "Miro", Version::Dotted),
    (b"MT", "MoonlightTorrent", Version::Dotted),
    (b"NX", "Net Transport", Version::Dotted),
    (b"OS", "OneSwarm", Version::Dotted),
    (b"OT", "OmegaTorrent", Version::Dotted),
    (b"PD", "Pando", Version::Dotted),
    (b"PI", "PicoTorrent", Version::Dotted),
    (b"QD", "QQDownload", Version::Dotted),
    (b"QT", "Qt 4 torrent example", Version::Dotted),
    (b"RT", "Retriever", Version::Dotted),
    (b"SB", "Swiftbit", Version::Dotted),
    (b"SD", "Thunder", Version::Dotted),
    (b"SK", "skep", Version::Dotted),
    (b"SN", "ShareNET", Version::Dotted),
    (b"SS", "SwarmScope", Version::Dotted),
    (b"ST", "SymTorrent", Version::Dotted),
    (b"SZ", "Shareaza", Version::Dotted),
    (b"S~", "Shareaza", Version::Dotted),
    (b"TL", "Tribler", Version::Dotted),
    (b"TN", "TorrentDotNET", Version::Dotted),
    (b"TR", "Transmission", Version::Transmission),
    (b"TS", "Torrentstorm", Version::Dotted),
    (b"TT", "TuoTu", Version::Dotted),
    (b"TX", "Tixati", Version::Pairs),
    (b"UL", "uLeecher!", Version::Dotted),
    (b"UM", "\u{b5}Torrent for Mac", Version::Dotted),
    (b"UT", "\u{b5}Torrent", Version::Dotted),
    (b"UW", "\u{b5}Torrent Web", Version::Dotted),
    (b"VG", "Vagaa", Version::Dotted),
    (b"WD", "WebTorrent Desktop", Version::Pairs),
    (b"WT", "BitLet", Version::Dotted),
    (b"WW", "WebTorrent", Version::Pairs),
    (b"WY", "FireTorrent", Version::Dotted),
    (b"XF", "Xfplay", Version::Dotted),
    (b"XL", "Xunlei", Version::Dotted),
    (b"XT", "XanTorrent", Version::Dotted),
    (b"XX", "Xtorrent", Version::Dotted),
    (b"ZT", "ZipTorrent", Version::Dotted),
    (b"lt", "rTorrent", Version::Dotted),
    (b"qB", "qBittorrent", Version::Dotted),
    (b"rQ", "rqbit", Version::Dotted),
    (b"st", "sharktorrent", Version::Dotted),
];

/// `-XX1234-`
fn azureus(id: &[u8; 20]) -> Option<String> {
    let [b'-', x, y, version @ .., b'-'] = &id[..8] else {
        return None;
    };
    let at = AZUREUS
        .binary_search_by_key(&[*x, *y], |(code, ..)| **code)
        .ok()?;
    let (_, name, style) = AZUREUS[at];
    let version = <&[u8; 4]>::try_from(version).ok()?;
    if !version.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    Some(format!("{name} {}", version_text(version, style)))
}

fn version_text(version: &[u8; 4], style: Version) -> String {
    let [a, b, c, d] = version.map(char::from);
    let style = match style {
        Version::Transmission if a < '4' => return format!("{a}.{b}{c}"),
        Version::Transmission => Version::Dotted,
        other => other,
    };
    match style {
        Version::Pairs => match (a, b) {
            ('0', b) => format!("{b}.{c}{d}"),
            (a, b) => format!("{a}{b}.{c}{d}"),
        },
        Version::Dotted | Version::Transmission => {
            let number = |c: char| c.to_digit(36).map_or(String::new(), |n| n.to_string());
            let head = [a, b, c].map(number).join(".");
            match d {
                '0' => head,
                '1'..='9' => format!("{head}.{d}"),
                letter => format!("{head}{letter}"),
            }
        }
    }
}

/// Styles of one client each: `A2-1-37-0-`, `M7-10-5--`, `-ML3.1.7-`, `exbc`.
fn others(id: &[u8; 20]) -> Option<String> {
    if let Some(rest) = id.strip_prefix(b"A2-") {
        return dashed(rest).map(|version| format!("aria2 {version}"));
    }
    if let Some(rest) = id.strip_prefix(b"M") {
        return dashed(rest).map(|version| format!("BitTorrent {version}"));
    }
    if let Some(rest) = id.strip_prefix(b"-ML") {
        let len = rest
            .iter()
            .position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let version = std::str::from_utf8(&rest[..len]).ok()?;
        return (len > 0 && rest[len] == b'-').then(|| format!("MLDonkey {version}"));
    }
    if id.starts_with(b"exbc") {
        return Some(format!("BitComet {}.{:02}", id[4], id[5]));
    }
    None
}

/// `1-37-0-`: numbers that end in dashes, the last number shown unless it is 0.
fn dashed(rest: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    for number in rest.split(|byte| *byte == b'-').take(3) {
        let text = std::str::from_utf8(number).ok()?;
        if !(1..=3).contains(&text.len()) || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        numbers.push(text);
    }
    let len = numbers.iter().map(|text| text.len() + 1).sum::<usize>();
    (numbers.len() == 3 && rest.get(len - 1) == Some(&b'-')).then(|| numbers.join("."))
}

/// `S58B-----`: a letter, up to five characters of version padded with dashes, and three dashes.
fn shadow(id: &[u8; 20]) -> Option<String> {
    let name = match id[0] {
        b'A' => "ABC",
        b'O' => "Osprey Permaseed",
        b'Q' => "BTQueue",
        b'R' => "Tribler",
        b'S' => "Shadow",
        b'T' => "BitTornado",
        b'U' => "UPnP NAT BitTorrent",
        _ => return None,
    };
    let (version, dashes) = id[1..9].split_at(5);
    let len = version.iter().position(|byte| *byte == b'-').unwrap_or(5);
    let padded = version[len..]
        .iter()
        .chain(dashes)
        .all(|byte| *byte == b'-');
    if len == 0 || !padded || !version[..len].iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    // One character a number: 0-9, A-Z for 10 to 35, a-z for 36 to 61.
    let number = |byte: &u8| match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'Z' => byte - b'A' + 10,
        _ => byte - b'a' + 36,
    };
    let numbers: Vec<String> = version[..len]
        .iter()
        .map(|byte| number(byte).to_string())
        .collect();
    Some(format!("{name} {}", numbers.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(prefix: &[u8]) -> String {
        let mut id = [b'x'; 20];
        id[..prefix.len()].copy_from_slice(prefix);
        PeerId(id).client()
    }

    #[test]
    fn codes_are_sorted_for_the_search() {
        assert!(AZUREUS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn peer_ids_name_their_clients() {
        for (prefix, name) in [
            (&b"-SK0100-"[..], "skep 0.1.0"),
            (b"-LT2110-", "libtorrent 2.1.1"),
            (b"-lt0D80-", "rTorrent 0.13.8"),
            (b"-qB4650-", "qBittorrent 4.6.5"),
            (b"-qB5030-", "qBittorrent 5.0.3"),
            (b"-TR4060-", "Transmission 4.0.6"),
            (b"-TR2940-", "Transmission 2.94"),
            (b"-DE211s-", "Deluge 2.1.1s"),
            (b"-UT355W-", "\u{b5}Torrent 3.5.5W"),
            (b"-AZ5760-", "Azureus 5.7.6"),
            (b"-BC0172-", "BitComet 1.72"),
            (b"-KT5110-", "KTorrent 5.1.1"),
            (b"-WW0102-", "WebTorrent 1.02"),
            (b"A2-1-37-0-", "aria2 1.37.0"),
            (b"M7-10-5--", "BitTorrent 7.10.5"),
            (b"-ML3.1.7-", "MLDonkey 3.1.7"),
            (b"S58B-----", "Shadow 5.8.11"),
            (b"T03I-----", "BitTornado 0.3.18"),
            (b"exbc\x00\x3d", "BitComet 0.61"),
        ] {
            assert_eq!(client(prefix), name, "{}", prefix.escape_ascii());
        }
    }

    #[test]
    fn unknown_peer_ids_are_shown_escaped() {
        assert_eq!(client(b"-QQ1234-"), "-QQ1234-");
        assert_eq!(client(b"-LT\xff110-"), "-LT\\xff110-");
        assert_eq!(client(b"<b>\n\0\x1b[m"), "<b>\\n\\x00\\x1b[m");
        assert_eq!(client(b"S58B--x--"), "S58B--x-");
        assert_eq!(client(b"A2-1-3x-"), "A2-1-3x-");
        assert_eq!(client(b"M-----"), "M-----xx");
        assert_eq!(client(b"-ML-----"), "-ML-----");
    }

    #[test]
    fn a_v2_info_hash_is_cut_to_its_first_twenty_bytes() {
        let whole = InfoHashV2(std::array::from_fn(|n| n as u8));
        assert_eq!(whole.truncated().0, std::array::from_fn(|n| n as u8));
        assert!(whole.to_string().ends_with("1c1d1e1f"));
    }

    proptest::proptest! {
        #[test]
        fn any_peer_id_is_named_without_control_characters(id: [u8; 20]) {
            proptest::prop_assert!(!PeerId(id).client().contains(char::is_control));
        }
    }
}
