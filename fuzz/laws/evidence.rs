//! What must hold for any bytes that the readers of `skep-evidence` are given.

use skep_evidence::{
    capture,
    journal::{CaptureOffset, Entries, Tail, frame},
    record::Record,
};

/// A target's name and its law.
pub(crate) type Law = (&'static str, fn(&[u8]));

/// Every target on readers of this crate.
pub(crate) const LAWS: &[Law] = &[
    ("record", record),
    ("journal", journal),
    ("capture_packet", capture_packet),
];

/// A record has one encoding.
pub(crate) fn record(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        assert_eq!(record.encode(), data);
    }
}

/// The frames of a journal's entries are the journal, up to a tail that is told apart.
pub(crate) fn journal(data: &[u8]) {
    let mut entries = Entries::new(data);
    let mut again = Vec::new();
    for (offset, entry) in entries.by_ref() {
        assert_eq!(offset, again.len() as u64);
        again.extend(frame(&entry.encode()));
    }
    assert_eq!(again, data[..again.len()]);
    match entries.tail() {
        Tail::Clean => assert_eq!(again.len(), data.len()),
        Tail::Torn { offset, len, .. } => {
            assert_eq!(offset, again.len() as u64);
            assert_eq!(offset + len, data.len() as u64);
        }
    }
}

/// A packet lies within its block, and its block within the bytes.
pub(crate) fn capture_packet(data: &[u8]) {
    if let Ok(packet) = capture::packet_at(data, CaptureOffset(0)) {
        assert!(packet.block_len <= data.len().min(capture::BLOCK_BYTES_MAX));
        assert!(packet.payload.len() < packet.block_len);
        let again = capture::packet_at(&data[..packet.block_len], CaptureOffset(7));
        assert_eq!(again, Ok(packet));
    }
}
