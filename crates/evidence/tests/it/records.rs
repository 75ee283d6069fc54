//! Records and journal entries: one encoding each, and no other is accepted.

use crate::samples::{entries, later_records, records};
use proptest::prelude::*;
use skep_evidence::{
    FieldError,
    journal::{Entries, Entry, JournalError, Tail, frame},
    record::{Body, RECORD_BYTES_MAX, Record, RecordError, TEXT_BYTES_MAX, fields},
};

#[test]
fn every_kind_of_record_survives_its_encoding() {
    for record in records().into_iter().chain(later_records()) {
        let bytes = record.encode();
        assert_eq!(
            Record::decode(&bytes).as_ref(),
            Ok(&record),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn samples_hold_every_kind_and_every_field() {
    let samples: Vec<(String, String)> = records()
        .iter()
        .chain(&later_records())
        .map(|record| {
            (
                record.body.kind().to_owned(),
                record.encode().escape_ascii().to_string(),
            )
        })
        .collect();
    for kind in fields::KINDS {
        for tag in kind.tags.iter().chain(fields::HEADER_TAGS) {
            let key = format!("{}:{tag}", tag.len());
            let held = samples
                .iter()
                .any(|(name, bytes)| name == kind.name && bytes.contains(&key));
            assert!(held, "no sample of {} holds {tag}", kind.name);
        }
    }
}

#[test]
fn unknown_fields_and_kinds_are_kept_as_they_came() {
    let known = records().remove(0).encode();
    let mut later = known[..known.len() - 1].to_vec();
    later.extend(b"9:zz_new_tald3:fooi-7eeee");
    let later_record = Record::decode(&later).expect("an unknown field is no error");
    assert_eq!(later_record.unknown.len(), 1);
    assert_eq!(later_record.encode(), later);

    let other = b"d2:ati5e4:kind8:sunshine3:runi1e7:utc_maxi2e7:utc_mini1e8:utc_synci1e1:zi9ee";
    let record = Record::decode(other).expect("an unknown kind is no error");
    assert_eq!(
        record.body,
        Body::Unknown {
            kind: "sunshine".into()
        }
    );
    assert_eq!(record.encode(), other);
}

#[test]
fn other_encodings_are_refused_by_name() {
    let field = |bytes: &[u8]| match Record::decode(bytes) {
        Err(RecordError::Field { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let head = "d2:ati5e4:kind5:whole3:runi1e7:utc_maxi2e7:utc_mini1e8:utc_synci1ee";
    assert_eq!(field(head.as_bytes()), FieldError::Missing { tag: "conn" });
    let with = |conn: &str| {
        format!("d2:ati5e4:conn{conn}{}", &head[8..]).replace("d2:ati5e4:conn", "d2:ati5e4:conn")
    };
    assert!(
        Record::decode(with("i3e").as_bytes()).is_ok(),
        "{}",
        with("i3e")
    );
    let range = FieldError::Range {
        tag: "conn",
        got: 1 << 32,
        max: u32::MAX.into(),
    };
    assert_eq!(field(with("i4294967296e").as_bytes()), range);
    assert!(matches!(
        field(with("i-1e").as_bytes()),
        FieldError::Range { got: -1, .. }
    ));
    assert!(matches!(
        field(with("i03e").as_bytes()),
        FieldError::Bencode(_)
    ));
    assert_eq!(
        field(with("1:3").as_bytes()),
        FieldError::Type {
            tag: "conn",
            expected: "a number"
        }
    );
    assert!(matches!(
        field(b"d3:runi1e2:ati5ee"),
        FieldError::Bencode(_)
    ));
    assert!(matches!(field(b"le"), FieldError::NotDict { .. }));
    let too_long = Record::decode(&vec![b'd'; RECORD_BYTES_MAX + 1]);
    assert_eq!(
        too_long,
        Err(RecordError::TooLong {
            got: RECORD_BYTES_MAX + 1
        })
    );
}

#[test]
fn a_strangers_text_is_cut_where_a_character_ends() {
    let mut record = records().remove(0);
    let url = "ä".repeat(TEXT_BYTES_MAX);
    let (target, conn, remote) = (skep_evidence::record::TargetIndex(0), None, None);
    record.body = Body::TrackerAsked {
        target,
        url,
        conn,
        remote,
    };
    let bytes = record.encode();
    let Ok(Record {
        body: Body::TrackerAsked { url, .. },
        ..
    }) = Record::decode(&bytes)
    else {
        panic!("cut texts decode");
    };
    assert_eq!(url, "ä".repeat(TEXT_BYTES_MAX / 2));
}

#[test]
fn every_kind_of_entry_survives_its_encoding() {
    let mut journal = Vec::new();
    for entry in entries() {
        journal.extend(frame(&entry.encode()));
    }
    let mut read = Entries::new(&journal);
    let back: Vec<Entry> = read.by_ref().map(|(_, entry)| entry).collect();
    assert_eq!(back, entries());
    assert_eq!(read.tail(), Tail::Clean);
}

/// Wherever a journal is cut, the whole entries before the cut are read and the rest is named.
#[test]
fn torn_tail_is_told_at_every_length() {
    let frames: Vec<Vec<u8>> = entries()
        .iter()
        .map(|entry| frame(&entry.encode()))
        .collect();
    let journal = frames.concat();
    let mut ends = vec![0];
    for frame in &frames {
        ends.push(ends.last().expect("begun with 0") + frame.len());
    }
    for cut in 0..=journal.len() {
        let mut read = Entries::new(&journal[..cut]);
        let count = read.by_ref().count();
        let expected = ends.iter().filter(|&&end| end <= cut).count() - 1;
        assert_eq!(count, expected);
        match read.tail() {
            Tail::Clean => assert_eq!(ends[expected], cut),
            Tail::Torn { offset, len, why } => {
                assert_eq!((offset, offset + len), (ends[expected] as u64, cut as u64));
                assert!(matches!(why, JournalError::FrameTruncated { .. }), "{why}");
            }
        }
    }
}

#[test]
fn one_flipped_bit_ends_a_journal_at_its_frame() {
    let frames: Vec<Vec<u8>> = entries()
        .iter()
        .map(|entry| frame(&entry.encode()))
        .collect();
    let journal = frames.concat();
    for bit in 0..journal.len() * 8 {
        let mut flipped = journal.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut read = Entries::new(&flipped);
        let count = read.by_ref().count();
        let Tail::Torn { offset, .. } = read.tail() else {
            panic!("bit {bit} was not seen")
        };
        assert!(offset <= bit as u64 / 8);
        assert_eq!(
            offset,
            frames[..count].iter().map(Vec::len).sum::<usize>() as u64
        );
    }
}

#[test]
fn journal_time_does_not_go_back() {
    let entry = |at| Entry {
        at: skep_wire::Moment(at),
        input: skep_evidence::journal::Input::Stop,
    };
    let journal = [frame(&entry(7).encode()), frame(&entry(6).encode())].concat();
    let mut read = Entries::new(&journal);
    assert_eq!(read.by_ref().count(), 1);
    let Tail::Torn {
        why: JournalError::Backwards { .. },
        ..
    } = read.tail()
    else {
        panic!()
    };
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&bytes);
        let _ = Entry::decode(&bytes, 0);
        let _ = Entries::new(&bytes).count();
    }

    /// Whatever one byte is changed to, what still decodes encodes to exactly those bytes.
    #[test]
    fn what_decodes_encodes_to_the_same(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let records = records();
        let mut bytes = which.get(&records).encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}
