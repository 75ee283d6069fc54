//! What must hold for any bytes that the readers of `skep-evidence` are given.

use skep_evidence::{
    bundle::{self, Bundle},
    capture,
    file::Files as _,
    journal::{CaptureOffset, Entries, Tail, frame},
    ledger::{Checkpoint, Ledger, LedgerReader, Note, Policy, SigningKey, TlogProof, VerifierKey},
    record::Record,
};
use skep_sim::memory::Memory;

use crate::Law;

/// Every target on readers of this crate.
pub const LAWS: &[Law] = &[
    ("record", record),
    ("journal", journal),
    ("capture_packet", capture_packet),
    ("note", note),
    ("policy", policy),
    ("ledger", ledger),
    ("bundle", bundle),
];

/// A record has one encoding.
pub fn record(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        assert_eq!(record.encode(), data);
    }
}

/// The frames of a journal's entries are the journal, up to a tail that is told apart.
pub fn journal(data: &[u8]) {
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
pub fn capture_packet(data: &[u8]) {
    if let Ok(packet) = capture::packet_at(data, CaptureOffset(0)) {
        assert!(packet.block_len <= data.len().min(capture::BLOCK_BYTES_MAX));
        assert!(packet.payload.len() < packet.block_len);
        let again = capture::packet_at(&data[..packet.block_len], CaptureOffset(7));
        assert_eq!(again, Ok(packet));
    }
}

/// Signed texts are written as they were read, and so are keys.
pub fn note(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.encode(), text);
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.encode(), text);
    }
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.encode(), text);
        assert!(proof.verify(b"a record", &key().verifier()).is_err());
    }
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(VerifierKey::parse(&key.encode()), Ok(key));
    }
    if let Ok(key) = SigningKey::parse(text) {
        assert!(SigningKey::parse(&key.encode()).is_ok());
    }
}

/// A policy that is read judges without a panic, and accepts no checkpoint of a log it does not name: of one
/// whose key is in no seed, so that no change of a seed can name it.
pub fn policy(data: &[u8]) {
    if let Ok(policy) = Policy::parse(data) {
        let head = skep_hash::tree::Head {
            size: 0,
            root: skep_hash::tree::empty_root(),
        };
        let stranger = SigningKey::new("stranger.example/log", [9; 32]).expect("a name");
        assert!(policy.check(&Checkpoint::sign(&stranger, head)).is_err());
    }
}

/// However the files of a ledger are changed, what its checkpoint covers is read as it was written,
/// or not at all.
pub fn ledger(data: &[u8]) {
    let mut files = good_ledger();
    let count = files.files.len();
    for [file, change, at, with] in data.as_chunks::<4>().0 {
        let bytes = files
            .files
            .values_mut()
            .nth(usize::from(*file) % count)
            .expect("below the count");
        let at = usize::from(*at) * usize::from(*change >> 2).max(1);
        match change & 3 {
            0 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= with),
            1 => bytes.truncate(at),
            2 => bytes.insert(at.min(bytes.len()), *with),
            _ => drop(bytes.splice(..at.min(bytes.len()), [])),
        }
    }
    let opened = LedgerReader::open(&files, &key().verifier());
    let recovered = Ledger::recover(&files, key());
    assert_eq!(opened.is_ok(), recovered.is_ok());
    let Ok(reader) = opened else { return };
    for record in reader.records(&files) {
        let Ok((index, record)) = record else {
            continue;
        };
        if index < reader.size() {
            assert_eq!(record, good_record(index), "record {index}");
            let proof = reader.prove(index).expect("the checkpoint covers it");
            assert_eq!(proof.verify(&record, &key().verifier()), Ok(()));
        }
    }
    let recovered = recovered.expect("as the reader");
    assert_eq!(recovered.ledger.size(), reader.size() + reader.uncovered());
}

fn key() -> SigningKey {
    SigningKey::new("fuzz.example/log", [7; 32]).expect("a name")
}

fn good_record(index: u64) -> Vec<u8> {
    format!("d1:ni{index}ee").into_bytes()
}

/// 300 records under one checkpoint, so that one tile is full, and 3 more.
fn good_ledger() -> Memory {
    let (mut ledger, commit) = Ledger::create(key());
    let mut files = Memory::default();
    files.apply_all(&commit.ops);
    for index in 0..303 {
        if index == 300 {
            files.apply_all(&ledger.checkpoint().ops);
        }
        ledger.append(&good_record(index)).expect("a short record");
    }
    files.apply_all(&ledger.commit().ops);
    files
}

/// An archive that is accepted is the one that its files make.
pub fn bundle(data: &[u8]) {
    let Ok(read) = Bundle::open(data.to_vec()) else {
        return;
    };
    if read.check_manifest().is_ok() {
        let made = [bundle::MANIFEST, bundle::README];
        let files = read
            .paths()
            .filter(|(path, _)| !made.contains(path))
            .map(|(path, len)| {
                let bytes = read.read(path, len).expect("in memory").expect("listed");
                (path.to_owned(), bytes)
            });
        let again = bundle::build(&files.collect()).expect("what was read can be packed");
        assert_eq!(again, data);
    }
}
