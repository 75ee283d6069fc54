//! The second reading of the bytes stands on its own: it finds a false record without the machine.

use skep_evidence::record::{Attack, Body, Record};
use skep_hash::{sha1, sha256};
use skep_observe::{Action, Replay};
use skep_sim::memory::Memory;
use skep_verify::{
    Failure, contents,
    listen::{Counts, Listener},
};
use skep_wire::PieceIndex;

use crate::observation::{Run, by_collision, lay_out, run};

/// Feeds a run's bytes and the machine's records, each changed by `change`, to a listener.
#[expect(clippy::result_large_err, reason = "the failure is what is looked at")]
pub(crate) fn listen(run: &Run, mut change: impl FnMut(&mut Record)) -> Result<Counts, Failure> {
    let folder: Memory = lay_out(std::slice::from_ref(run));
    let mut listener = Listener::new(&folder, contents::capture_path(1), &run.targets);
    let mut replay = Replay::new(run.config.clone(), run.targets.clone());
    let mut index = 0;
    for (entry, bytes) in &run.log {
        listener.entry(entry, bytes);
        let step = replay.step(entry, bytes).unwrap();
        for action in &step.actions {
            if let Action::Send { conn, bytes } = action {
                listener.queued(*conn, bytes);
            }
        }
        for mut record in step.records {
            change(&mut record);
            index += 1;
            listener.record(index, &record)?;
        }
    }
    listener.finish()?;
    Ok(listener.counts)
}

/// Changes the first record for which `change` says that it did; the listener finds it.
fn found(change: impl Fn(&mut Body) -> bool) {
    found_in(&run(), change);
}

fn found_in(run: &Run, change: impl Fn(&mut Body) -> bool) {
    let mut changed = false;
    let heard = listen(run, |record| {
        if !changed {
            changed = change(&mut record.body);
        }
    });
    assert!(changed, "there is no such record");
    assert!(heard.is_err(), "{heard:?}");
}

#[test]
fn what_the_machine_recorded_is_heard_again() {
    let run = run();
    let heard = listen(&run, |_| {}).unwrap();
    let count = |wanted: fn(&Body) -> bool| {
        let records = run.lines.iter().filter_map(|line| match line {
            crate::observation::Line::Machine(record) => Some(&record.body),
            _ => None,
        });
        records.filter(|body| wanted(body)).count() as u64
    };
    assert_eq!(
        heard.verified,
        count(|body| matches!(body, Body::Verified { .. }))
    );
    assert_eq!(
        heard.refuted,
        count(|body| matches!(body, Body::Refuted { .. }))
    );
    assert_eq!(
        heard.delivered,
        count(|body| matches!(body, Body::Delivered { .. }))
    );
    let joined = heard.joined + heard.joined_unanswered;
    assert_eq!(joined, count(|body| matches!(body, Body::Joined { .. })));
}

#[test]
fn a_verified_piece_that_is_another() {
    found(|body| match body {
        Body::Verified { piece, .. } => {
            *piece = PieceIndex(piece.0 ^ 1);
            true
        }
        _ => false,
    });
}

#[test]
fn a_digest_that_is_another() {
    found(|body| match body {
        Body::Verified { sha1: digest, .. } => {
            *digest = Some(sha1(b"another"));
            true
        }
        _ => false,
    });
}

#[test]
fn garbage_that_is_called_verified() {
    found(|body| match *body {
        Body::Refuted {
            conn,
            piece,
            expected,
            expected_root: root,
            ..
        } => {
            *body = Body::Verified {
                conn,
                piece,
                sha1: expected,
                root,
            };
            true
        }
        _ => false,
    });
}

#[test]
fn a_collision_that_is_called_verified_or_garbage() {
    let run = by_collision();
    let heard = listen(&run, |_| {}).unwrap();
    assert!(heard.refuted > 0);
    assert_eq!(heard.verified, 0);
    found_in(&run, |body| match *body {
        Body::Refuted {
            conn,
            piece,
            expected,
            ..
        } => {
            *body = Body::Verified {
                conn,
                piece,
                sha1: expected,
                root: None,
            };
            true
        }
        _ => false,
    });
    found_in(&run, |body| match body {
        Body::Refuted { attack, .. } => attack.take().is_some(),
        _ => false,
    });
}

#[test]
fn garbage_that_is_called_a_collision() {
    found(|body| match body {
        Body::Refuted { attack, .. } => {
            *attack = Some(Attack::Sha1Collision);
            true
        }
        _ => false,
    });
}

#[test]
fn a_verified_piece_that_is_called_garbage() {
    found(|body| match *body {
        Body::Verified {
            conn,
            piece,
            sha1: expected,
            root: expected_root,
        } => {
            *body = Body::Refuted {
                conn,
                piece,
                expected,
                got: Some(sha1(b"another")),
                expected_root,
                got_root: None,
                attack: None,
            };
            true
        }
        _ => false,
    });
}

#[test]
fn a_block_that_is_another() {
    found(|body| match body {
        Body::Delivered { block, .. } => {
            block.begin ^= 0x4000;
            true
        }
        _ => false,
    });
}

#[test]
fn a_claim_of_one_piece_more() {
    found(|body| match body {
        Body::ClaimedSet { pieces, .. } => {
            *pieces += 1;
            true
        }
        _ => false,
    });
    found(|body| match body {
        Body::ClaimedGain { pieces, .. } => {
            *pieces += 1;
            true
        }
        _ => false,
    });
}

#[test]
fn an_endpoint_that_is_another() {
    found(|body| match body {
        Body::Reached { endpoint, .. } => {
            endpoint.set_port(endpoint.port() ^ 1);
            true
        }
        _ => false,
    });
}

/// Each way in which a record can point at other bytes.
#[test]
fn a_passage_that_is_another() {
    found(|body| match body {
        Body::Joined { source, .. } => {
            source.digest = sha256(b"another");
            true
        }
        _ => false,
    });
    found(|body| match body {
        Body::Joined { source, .. } => {
            source.len -= 1;
            true
        }
        _ => false,
    });
    found(|body| match body {
        Body::ClaimedSet { source, .. } => {
            source.stream += 1;
            true
        }
        _ => false,
    });
    found(|body| match body {
        Body::ClaimedSet { source, .. } => {
            source.capture.0 += 4;
            true
        }
        _ => false,
    });
    found(|body| match body {
        Body::Delivered { source, .. } => {
            source.len = u32::MAX;
            true
        }
        _ => false,
    });
}

/// A record of a grade whose step below is nowhere.
#[test]
fn a_connection_that_never_stood() {
    found(|body| match body {
        Body::Verified { conn, .. } => {
            conn.0 += 1_000;
            true
        }
        _ => false,
    });
}
