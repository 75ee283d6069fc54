//! The table of record fields, from which `docs/record-fields.md` is made. A tag is never reused
//! and never changes its meaning, in whatever kind of record it stands.

use std::fmt::Write as _;

pub use super::codec::{HEADER_TAGS, KINDS, Kind};

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Another party said so.
    Claimed,
    /// We measured it.
    Observed,
    /// Observed and compared with a hash.
    Verified,
    /// Follows from other records or from the torrent file by a rule.
    Derived,
    /// We or the operator set it.
    Set,
}

impl Origin {
    /// The word in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Observed => "observed",
            Self::Verified => "verified",
            Self::Derived => "derived",
            Self::Set => "set",
        }
    }
}

/// A field of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The dictionary key.
    pub tag: &'static str,
    /// The name for readers.
    pub name: &'static str,
    /// Type and unit.
    pub unit: &'static str,
    /// Where the value comes from.
    pub origin: Origin,
    /// The record format that brought it.
    pub since: u32,
    /// What it says.
    pub sentence: &'static str,
}

const fn row(
    tag: &'static str,
    name: &'static str,
    unit: &'static str,
    origin: Origin,
    sentence: &'static str,
) -> Row {
    Row {
        tag,
        name,
        unit,
        origin,
        since: 1,
        sentence,
    }
}

use Origin::{Claimed, Derived, Observed, Set, Verified};

const NUMBER: &str = "integer";
const TEXT: &str = "text (UTF-8, at most 2,048 bytes)";
const FLAG: &str = "0 or 1";
const SHA256: &str = "32 bytes";
const SHA1: &str = "20 bytes";
const ENDPOINT: &str = "address and port, 6 or 18 bytes, network order";
const PPM: &str = "integer, millionths";
const BYTES: &str = "integer, bytes";

/// Every field, by tag.
#[rustfmt::skip]
pub const FIELDS: &[Row] = &[
    row("at", "run time", "integer, nanoseconds", Observed, "Monotonic time since the run began."),
    row("attack", "attack", "sha1-collision", Verified, "The attack on SHA-1 that the bytes bear the marks of, where they have the digest in the torrent file: other bytes that have it were made together with them, so they prove nothing."),
    row("attempts", "attempts", NUMBER, Derived, "How many connections the run tried to make."),
    row("awake", "last awake", "integer, nanoseconds", Observed, "Run time of the last thing that the observer did before it was stalled."),
    row("binary", "binary digest", SHA256, Observed, "SHA-256 of the running program's file."),
    row("block", "block", "dictionary: begin, len, piece", Observed, "A stretch of a piece, as requests name it: offset in the piece, length in bytes, number of the piece."),
    row("blocks", "blocks asked", NUMBER, Set, "How many blocks of the piece we asked for."),
    row("build", "build", TEXT, Set, "Compiler, target and profile of the running program."),
    row("by", "named by", "dictionary with one key: tracker (URL), pex (connection), listen_port (connection), incoming (1) or operator (1)", Observed, "Who named the endpoint: a tracker, a peer by peer exchange, a peer that connected to us and named its listening port, itself by connecting, or the operator."),
    row("bytes_in", "bytes received", BYTES, Observed, "All bytes that came on the connection."),
    row("bytes_out", "bytes sent", BYTES, Observed, "All bytes that went out on the connection."),
    row("capture_cut", "capture cut", BYTES, Observed, "Bytes cut from the end of the run's capture after a crash."),
    row("capture_len", "capture length", BYTES, Observed, "Length of the run's capture."),
    row("capture_sha256", "capture digest", SHA256, Observed, "SHA-256 of that much of the run's capture."),
    row("choked", "it chokes us", FLAG, Claimed, "Whether the endpoint's last word is that it sends us nothing (choke)."),
    row("claim", "kind of claim", "bitfield, have-all, have-none or upload-only", Observed, "The message in which the endpoint said what it has."),
    row("claims", "pieces claimed", NUMBER, Claimed, "How many pieces the endpoint says it has."),
    row("claims_ppm", "share claimed", PPM, Claimed, "The same as a share of all pieces."),
    row("clock_error", "clock error", "integer, microseconds", Observed, "The kernel's own bound on the error of the clock that was read."),
    row("complete", "complete", NUMBER, Claimed, "How many complete peers the tracker says there are."),
    row("config", "configuration digest", SHA256, Set, "SHA-256 of the run's configuration, kept as a blob: the plan, the rule by which endpoints are chosen, and the seed."),
    row("conn", "connection", NUMBER, Observed, "Number of the connection in its run: even for ours, odd for those that came in."),
    row("due", "due", "integer, nanoseconds", Derived, "Run time at which the first thing was to be done that the observer, being stalled, did not do."),
    row("ended", "end", "them-closed, them-reset, them-error N, us-done, us-idle, us-violation or us-stopped", Observed, "Who ended the connection and how; N is the system's error number."),
    row("endpoint", "endpoint", ENDPOINT, Observed, "The other end, or the address that was named."),
    row("endpoints", "endpoints", NUMBER, Derived, "How many endpoints were listed in the run."),
    row("error", "error", TEXT, Observed, "What was wrong, in the words of the program."),
    row("ext_client", "client in extension handshake", TEXT, Claimed, "Client name and version in the extension handshake (v)."),
    row("format", "record format", NUMBER, Set, "Version of the record format that the run writes."),
    row("gained", "pieces gained", NUMBER, Claimed, "How many of the pieces claimed now were not claimed when a set was last heard (since)."),
    row("got_root", "tree of what came", SHA256, Observed, "Root of the Merkle tree (BEP 52) over the bytes that came as this piece."),
    row("got_sha1", "digest of what came", SHA1, Observed, "SHA-1 of the bytes that came as this piece."),
    row("id_client", "client in peer id", TEXT, Claimed, "The client that the peer id names (BEP 20)."),
    row("incoming", "incoming", FLAG, Observed, "Whether the endpoint connected to us; its port is then not its listening port."),
    row("incomplete", "incomplete", NUMBER, Claimed, "How many incomplete peers the tracker says there are."),
    row("info_hash", "info-hash", SHA1, Derived, "The swarm's name on the wire: SHA-1 of the torrent's info dictionary as it came, or, where the swarm is that of version 2, the first 20 bytes of its SHA-256."),
    row("info_hash_v2", "info-hash of version 2", SHA256, Derived, "SHA-256 of the torrent's info dictionary as it came (BEP 52); a torrent of version 1 alone has none."),
    row("interval", "interval", "integer, seconds", Claimed, "How long the tracker wants us to wait."),
    row("journal_cut", "journal cut", BYTES, Observed, "Bytes cut from the end of the run's journal after a crash."),
    row("journal_len", "journal length", BYTES, Observed, "Length of the run's journal."),
    row("journal_sha256", "journal digest", SHA256, Observed, "SHA-256 of that much of the run's journal."),
    row("kind", "kind", "name", Set, "What kind of statement the record is; the kinds are listed below."),
    row("ledger_cut", "ledger cut", BYTES, Observed, "Bytes cut from the end of the ledger's pending file after a crash."),
    row("limit", "limit", TEXT, Set, "The name of a limit of this program."),
    row("limit_value", "limit's value", NUMBER, Set, "How much the limit allows."),
    row("listen_port", "listening port", NUMBER, Claimed, "The port on which the endpoint says it listens (p)."),
    row("local", "our end", ENDPOINT, Observed, "Our own address and port."),
    row("name", "name", TEXT, Derived, "Name in the torrent file; it need not say what the content is."),
    row("named", "endpoints named", NUMBER, Claimed, "How many endpoints the answer names."),
    row("observer", "observer", TEXT, Set, "The observer's name: the origin line of its ledger's checkpoints."),
    row("offers", "pieces offered", NUMBER, Claimed, "How many pieces the endpoint offers at this moment: those it claims while it does not choke us, or lets us fetch though it does (BEP 6)."),
    row("offers_ppm", "share offered", PPM, Claimed, "The same as a share of all pieces."),
    row("payload_out", "payload sent", BYTES, Observed, "Bytes of content that we sent: always 0."),
    row("peer_id", "peer id", SHA1, Claimed, "Twenty bytes by which the endpoint names itself."),
    row("piece", "piece", NUMBER, Observed, "Number of the piece, from 0."),
    row("piece_count", "pieces", NUMBER, Derived, "How many pieces the torrent has."),
    row("piece_len", "piece length", BYTES, Derived, "Length of every piece but the last."),
    row("reason", "reason", "refused, timed-out, unreachable or local N", Observed, "Why no connection could be made; N is the system's error number."),
    row("received_sha256", "digest of all received", SHA256, Observed, "SHA-256 of everything that came in the run until this record, on every connection and in every datagram, in the order of the journal."),
    row("remote", "other end", ENDPOINT, Observed, "Where the question went, or where the answer came from."),
    row("reserved", "reserved bytes", "8 bytes", Claimed, "Which extensions the endpoint's handshake offers."),
    row("root", "tree", SHA256, Verified, "Root of the Merkle tree (BEP 52) over the bytes that came, which is the piece's root in the torrent file; a torrent of version 1 alone has none."),
    row("run", "run", NUMBER, Set, "Number of the run in this ledger, from 1."),
    row("sha1", "digest", SHA1, Verified, "SHA-1 of the bytes that came, which is the piece's digest in the torrent file; a torrent of version 2 alone has none."),
    row("sha256_in", "digest received", SHA256, Observed, "SHA-256 of all bytes that came on the connection."),
    row("sha256_out", "digest sent", SHA256, Observed, "SHA-256 of all bytes that went out on the connection."),
    row("since", "not before", "integer, nanoseconds", Observed, "Run time at which the endpoint was last heard to claim less: what it says it gained, it gained between then and this record."),
    row("size", "size", BYTES, Derived, "Size of the content."),
    row("src", "source bytes", "dictionary: capture, len, sha256, stream", Observed, "The bytes that the statement rests on: offset of their first packet block in the capture, length, SHA-256, and offset in all that came on the connection."),
    row("target", "target", NUMBER, Set, "Place of the swarm in the run's list, from 0."),
    row("torrent", "torrent digest", SHA256, Set, "SHA-256 of the torrent file, kept as a blob."),
    row("torrent_root", "tree in torrent", SHA256, Derived, "The piece's root in the torrent file (BEP 52)."),
    row("torrent_sha1", "digest in torrent", SHA1, Derived, "The piece's digest in the torrent file."),
    row("torrents", "torrent digests", "32 bytes each, joined", Set, "SHA-256 of each torrent file, in the order of the targets."),
    row("tracker", "tracker", TEXT, Set, "The tracker's URL as the torrent file has it."),
    row("transport", "transport", "tcp, tcp-mse, utp or utp-mse", Observed, "How bytes travelled; mse is message stream encryption."),
    row("upload_only", "upload only", FLAG, Claimed, "Whether the endpoint says that it fetches nothing more (BEP 21)."),
    row("utc_max", "UTC not after", "integer, microseconds since 1970", Derived, "Latest UTC at which it can have happened, by the clock sample before it."),
    row("utc_min", "UTC not before", "integer, microseconds since 1970", Derived, "Earliest UTC at which it can have happened, by the clock sample before it."),
    row("utc_sync", "clock synchronised", FLAG, Observed, "Whether the kernel said that the sampled clock was synchronised."),
    row("version", "version", TEXT, Set, "Version of the program."),
    row("violation", "violation", TEXT, Observed, "How the endpoint broke the protocol, with the numbers."),
    row("your_ip", "our address as it sees it", "4 or 16 bytes", Claimed, "The address under which the endpoint says it sees us (yourip)."),
];

/// The page `docs/record-fields.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Record fields\n\n\
         Made from `crates/evidence/src/record/fields.rs` by `cargo xtask docs`; do not edit.\n\n\
         A record is a canonical bencoded dictionary. Every record holds the fields `at`, `kind`,\n\
         `run`, `utc_max`, `utc_min` and `utc_sync`; the others depend on its kind. Origin says what a\n\
         value is worth: *claimed* (another party said so), *observed* (we measured it), *verified*\n\
         (observed and compared with a hash), *derived* (follows from other data), *set* (by us or the\n\
         operator).\n\n\
         | tag | name | type and unit | origin | since format | what it says |\n\
         |---|---|---|---|---|---|\n",
    );
    for Row {
        tag,
        name,
        unit,
        origin,
        since,
        sentence,
    } in FIELDS
    {
        let origin = origin.name();
        let _ = writeln!(
            page,
            "| `{tag}` | {name} | {unit} | {origin} | {since} | {sentence} |"
        );
    }
    page += "\n## Kinds\n\n| kind | what it states | its fields |\n|---|---|---|\n";
    for Kind {
        name,
        sentence,
        tags,
    } in KINDS
    {
        let tags: Vec<String> = tags.iter().map(|tag| format!("`{tag}`")).collect();
        let _ = writeln!(page, "| `{name}` | {sentence} | {} |", tags.join(" "));
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn table_and_codec_name_the_same_fields() {
        let used: BTreeSet<&str> = KINDS
            .iter()
            .flat_map(|kind| kind.tags)
            .chain(HEADER_TAGS)
            .copied()
            .collect();
        let listed: Vec<&str> = FIELDS.iter().map(|row| row.tag).collect();
        assert_eq!(
            listed,
            used.into_iter().collect::<Vec<_>>(),
            "sorted, each once"
        );
    }

    #[test]
    fn page_has_a_line_for_each() {
        let page = page();
        for row in FIELDS {
            assert!(page.contains(&format!("| `{}` |", row.tag)));
        }
        for kind in KINDS {
            assert!(page.contains(&format!("| `{}` | {}", kind.name, kind.sentence)));
        }
    }
}
