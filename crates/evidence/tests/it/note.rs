//! Notes, keys, cosignatures and policies.

use proptest::prelude::*;
use skep_evidence::ledger::{
    Checkpoint, KeyError, Note, NoteError, Policy, PolicyError, PolicyUnmet, SigningKey, TlogProof,
    VerifierKey,
};
use skep_hash::{sha256, tree::Head};

/// The key and the note of the documentation of Go's `sumdb/note` package: another implementation's
/// signature holds, and ours is the same (Ed25519 is deterministic).
#[test]
fn keys_and_notes_are_those_of_go() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let skey = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let text = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    let note = format!(
        "{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKv\
         qfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    let verifier = VerifierKey::parse(vkey).expect("a key");
    assert_eq!(verifier.encode(), vkey);
    let signing = SigningKey::parse(skey).expect("a key");
    assert_eq!(signing.encode(), skey);
    assert_eq!(signing.verifier(), verifier);
    let parsed = Note::parse(&note).expect("a note");
    assert_eq!(parsed.text(), text);
    assert_eq!(parsed.verify(&verifier), Ok(None));
    assert_eq!(parsed.encode(), note);
    let changed = Note::parse(&note.replace("problem is", "problem as")).expect("a note");
    let bad = NoteError::BadSignature {
        key: "PeterNeumann".into(),
    };
    assert_eq!(changed.verify(&verifier), Err(bad));
}

fn log() -> SigningKey {
    SigningKey::new("log.example", [1; 32]).expect("a good name")
}

fn witness(n: u8) -> SigningKey {
    SigningKey::witness(&format!("witness{n}.example"), [10 + n; 32]).expect("a good name")
}

fn checkpoint() -> Checkpoint {
    Checkpoint::sign(
        &log(),
        Head {
            size: 9,
            root: sha256(b"root"),
        },
    )
}

fn policy_text(lines: &str) -> String {
    let mut text = format!("# whom we trust\nlog {}\n", log().verifier().encode());
    for n in 1..=4 {
        text += &format!(
            "witness w{n} {} https://w{n}.example/\n",
            witness(n).verifier().encode()
        );
    }
    text + lines
}

#[test]
fn quorum_counts_cosignatures_by_groups() {
    let text = policy_text("group a 2 w1 w2 w3\n\tgroup  both all a w4 \nquorum both\n");
    let policy = Policy::parse(text.as_bytes()).expect("a policy");
    let mut signed = checkpoint();
    let mut cosigned = Vec::new();
    for (n, time) in [(1, 100), (4, 101), (3, 102)] {
        let unmet = PolicyUnmet::Quorum {
            quorum: "both".into(),
            cosigned: cosigned.clone(),
        };
        assert_eq!(policy.check(&signed), Err(unmet));
        signed.note_mut().cosign(&witness(n), time);
        cosigned.push(format!("w{n}"));
        cosigned.sort();
    }
    let report = policy.check(&signed).expect("two of three, and the fourth");
    let times = [("w1", 100), ("w3", 102), ("w4", 101)].map(|(name, time)| (name.into(), time));
    assert_eq!(
        (report.log, report.witnesses),
        ("log.example".into(), times.to_vec())
    );
    // The same text read again, and with a cosignature whose time was changed.
    let again = Checkpoint::open(&signed.encode(), &log().verifier()).expect("signed");
    assert_eq!(again, signed);
    let mut late = checkpoint();
    late.note_mut().cosign(&witness(4), 1);
    let text = late.encode().replace("AAAAAAAAAAE", "AAAAAAAAAAI");
    if text != late.encode() {
        let late = Checkpoint::parse(&text).expect("a checkpoint");
        assert!(late.note().verify(&witness(4).verifier()).is_err());
    }
}

#[test]
fn a_log_that_the_policy_does_not_name_is_refused() {
    let policy = Policy::parse(policy_text("quorum none\n").as_bytes()).expect("a policy");
    assert!(policy.check(&checkpoint()).expect("known").quorum_none);
    let other = SigningKey::new("log.example", [2; 32]).expect("a good name");
    let other = Checkpoint::sign(&other, checkpoint().head());
    assert_eq!(
        policy.check(&other),
        Err(PolicyUnmet::NoLog {
            origin: "log.example".into()
        })
    );
}

#[test]
fn every_mistake_in_a_policy_names_its_line() {
    let error = |text: &str| Policy::parse(text.as_bytes()).expect_err(text);
    let with = |lines: &str| error(&policy_text(lines));
    assert_eq!(error("quorum none"), PolicyError::NoNewline);
    assert_eq!(
        error("quorum\rnone\n"),
        PolicyError::Control {
            line: 1,
            got: b'\r'
        }
    );
    assert_eq!(error(""), PolicyError::QuorumLines { got: 0 });
    assert_eq!(
        with("quorum none\nquorum none\n"),
        PolicyError::QuorumLines { got: 2 }
    );
    assert_eq!(with("quorate w1\n"), PolicyError::Line { line: 7 });
    assert_eq!(with("group a any\n"), PolicyError::Line { line: 7 });
    let unknown = |name: &str| PolicyError::NameUnknown {
        line: 7,
        name: name.into(),
    };
    assert_eq!(with("quorum a\n"), unknown("a"));
    assert_eq!(with("group a any none\n"), unknown("none"));
    let taken = |name: &str| PolicyError::NameTaken {
        line: 7,
        name: name.into(),
    };
    assert_eq!(with("group w1 any w2\n"), taken("w1"));
    assert_eq!(with("group none any w2\n"), taken("none"));
    let threshold = |got: &str| PolicyError::Threshold {
        line: 7,
        got: got.into(),
        members: 2,
    };
    for got in ["0", "3", "-1", "two"] {
        assert_eq!(with(&format!("group a {got} w1 w2\n")), threshold(got));
    }
    let twice = PolicyError::MemberTwice {
        line: 8,
        name: "w1".into(),
    };
    assert_eq!(with("group a any w1\ngroup b any w1\n"), twice);
    let log_key = log().verifier().encode();
    assert_eq!(
        with(&format!("log {log_key}\n")),
        PolicyError::DuplicateKey { line: 7 }
    );
    assert_eq!(
        with(&format!("witness w9 {log_key}\n")),
        PolicyError::KeyKind { line: 7 }
    );
    let why = KeyError::Form;
    assert_eq!(with("log nothing\n"), PolicyError::Key { line: 7, why });
}

#[test]
fn keys_are_written_in_one_way_only() {
    let vkey = log().verifier().encode();
    assert!(VerifierKey::parse(&format!("{vkey}\n")).is_ok());
    assert!(VerifierKey::parse(&vkey.to_uppercase()).is_err());
    for at in 0..vkey.len() {
        for byte in 0..128_u8 {
            let mut changed = vkey.clone().into_bytes();
            if std::mem::replace(&mut changed[at], byte) != byte {
                let changed = String::from_utf8(changed).expect("ASCII");
                assert!(VerifierKey::parse(&changed).is_err(), "{changed}");
            }
        }
    }
    let error = SigningKey::new("two words", [0; 32]).expect_err("a space");
    assert_eq!(
        error,
        KeyError::Name {
            name: "two words".into()
        }
    );
    let debug = format!("{:?}", log());
    assert!(
        !debug.contains(&log().encode()[30..]),
        "secrets are not printed"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        for text in [text.clone(), format!("{text}\n\n— {text} {text}\n"), format!("a\n9\n{text}\n\n— a b\n")] {
            let _ = Note::parse(&text);
            let _ = Checkpoint::parse(&text);
            let _ = TlogProof::parse(&text);
            let _ = VerifierKey::parse(&text);
            let _ = SigningKey::parse(&text);
        }
        let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{text}\n\n{text}"));
        let _ = Policy::parse(&bytes);
        let _ = Policy::parse(&[&b"group "[..], &bytes, b"\n"].concat());
    }
}
