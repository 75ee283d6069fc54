//! Records to canonical bencode and back: which kind holds which fields.

use skep_wire::bencode::Dict;

use super::{Body, FORMAT, RECORD_BYTES_MAX, Record};
use crate::{
    clock::UtcInterval,
    codec::{Field, FieldError, Fields},
};

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Too long.
    #[error("record of {got} bytes, at most {RECORD_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// A field is wrong.
    #[error("{kind} record: {why}")]
    Field {
        /// The record's kind, as far as it is known.
        kind: String,
        /// What is wrong.
        why: FieldError,
    },
    /// A record of a later format that says so (its kinds and fields may mean more), or of none.
    #[error("record format {got}, this build knows 1 to {FORMAT}")]
    Format {
        /// The format that it names.
        got: u32,
    },
}

/// A kind of record: its name, what it states, and the tags of the fields that it adds to those
/// of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The value of the field `kind`.
    pub name: &'static str,
    /// What a record of this kind states.
    pub sentence: &'static str,
    /// Its fields.
    pub tags: &'static [&'static str],
}

/// The tags that every record holds.
pub const HEADER_TAGS: &[&str] = &["at", "kind", "run", "utc_max", "utc_min", "utc_sync"];

macro_rules! kinds {
    ($($variant:ident $name:literal $sentence:literal { $($field:ident $tag:literal)* })*) => {
        /// Every kind that this build knows.
        pub const KINDS: &[Kind] =
            &[$(Kind { name: $name, sentence: $sentence, tags: &[$($tag),*] }),*];

        impl Body {
            /// The kind's name, as in the field `kind`.
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                    Self::Unknown { kind } => kind,
                }
            }

            fn put(&self, dict: &mut Dict) {
                match self {
                    $(Self::$variant { $($field),* } => { $($field.put($tag, dict);)* })*
                    Self::Unknown { .. } => {}
                }
            }

            fn take(kind: &str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
                Ok(match kind {
                    $($name => Self::$variant { $($field: fields.take($tag)?),* },)*
                    other => Self::Unknown { kind: other.to_owned() },
                })
            }
        }
    };
}

kinds! {
    RunStarted "run-started" "A run begins; before anything was asked, it is said what runs, how it \
        is configured, and what it will watch." {
        format "format" observer "observer" version "version" binary "binary" build "build"
        config "config" targets "torrents"
    }
    Target "target" "A swarm that the run watches." {
        target "target" info_hash "info_hash" info_hash_v2 "info_hash_v2" torrent "torrent" name "name" size_bytes "size"
        piece_len "piece_len" piece_count "piece_count"
    }
    Clock "clock" "The real-time clock was read." {
        error_us_max "clock_error" received "received_sha256"
    }
    TrackerAsked "tracker-asked" "A tracker was asked for the swarm's endpoints." {
        target "target" url "tracker" conn "conn" remote "remote"
    }
    TrackerAnswered "tracker-answered" "A tracker answered." {
        target "target" url "tracker" remote "remote" complete "complete" incomplete "incomplete"
        peer_count "named" interval_secs "interval" source "src"
    }
    TrackerFailed "tracker-failed" "A tracker gave no usable answer." {
        target "target" url "tracker" remote "remote" error "error"
    }
    Listed "listed" "Somebody named an endpoint (grade Listed)." {
        target "target" endpoint "endpoint" by "by" source "src"
    }
    Attempted "attempted" "We decided to connect." {
        target "target" conn "conn" endpoint "endpoint" transport "transport"
    }
    AttemptFailed "attempt-failed" "The attempt failed." { conn "conn" reason "reason" }
    Reached "reached" "A connection stands (grade Reached)." {
        target "target" conn "conn" local "local" endpoint "endpoint" incoming "incoming"
        transport "transport"
    }
    Joined "joined" "The endpoint completed a handshake for the info-hash that is not an echo of \
        ours (grade Joined)." {
        target "target" conn "conn" peer_id "peer_id" reserved "reserved" client "id_client"
        source "src"
    }
    Extended "extended" "The endpoint sent an extension handshake (BEP 10)." {
        conn "conn" client "ext_client" listen_port "listen_port" upload_only "upload_only"
        your_ip "your_ip" source "src"
    }
    ClaimedSet "claimed-set" "The endpoint said which pieces it has (grade Claimed)." {
        conn "conn" how "claim" pieces "claims" share_ppm "claims_ppm" gained "gained"
        since "since" source "src"
    }
    ClaimedGain "claimed-gain" "The endpoint said that it has gained a piece (grade Claimed)." {
        conn "conn" piece "piece" since "since" pieces "claims" share_ppm "claims_ppm" source "src"
    }
    Offers "offers" "What the endpoint offers to us changed." {
        conn "conn" pieces "offers" share_ppm "offers_ppm" choked "choked" source "src"
    }
    PieceAsked "piece-asked" "We asked for blocks of a piece." {
        conn "conn" piece "piece" blocks "blocks"
    }
    Refused "refused" "The endpoint refused a block." { conn "conn" block "block" source "src" }
    Delivered "delivered" "The bytes of a block that we asked for came (grade Delivered)." {
        conn "conn" block "block" source "src"
    }
    Verified "verified" "All blocks of a piece came on this connection and hash to the torrent \
        (grade Verified)." {
        conn "conn" piece "piece" sha1 "sha1" root "root"
    }
    Refuted "refuted" "All blocks of a piece came on this connection and do not hash to the \
        torrent, or only by an attack on the hash." {
        conn "conn" piece "piece" expected "torrent_sha1" got "got_sha1"
        expected_root "torrent_root" got_root "got_root" attack "attack"
    }
    Whole "whole" "The entire content came, verified, from this endpoint (grade Whole)." {
        conn "conn"
    }
    Violated "violated" "The endpoint broke the protocol." {
        conn "conn" violation "violation" source "src"
    }
    Limited "limited" "A named limit was reached: something that somebody sent was not kept or not \
        followed." {
        target "target" conn "conn" limit "limit" value "limit_value"
    }
    Stalled "stalled" "The observer was stalled until now: what it read next may have come at any time \
        since it was last awake." { awake "awake" due "due" }
    Closed "closed" "The connection is over." {
        conn "conn" how "ended" bytes_in "bytes_in" bytes_out "bytes_out"
        digest_in "sha256_in" digest_out "sha256_out" payload_out "payload_out"
    }
    Mark "mark" "The journal and the capture up to here belong to the ledger up to here." {
        journal_len "journal_len" journal "journal_sha256" capture_len "capture_len"
        capture "capture_sha256"
    }
    RunCut "run-cut" "The run ended in a crash, and what was not durable was cut when the ledger \
        was opened again." {
        journal_cut "journal_cut" capture_cut "capture_cut" ledger_cut "ledger_cut"
    }
    RunEnded "run-ended" "The run ended as planned." {
        endpoints "endpoints" attempts "attempts" received "received_sha256"
    }
}

impl Record {
    /// The one encoding of this record. Texts are cut at `TEXT_BYTES_MAX`, numbers at 2^63 - 1.
    pub fn encode(&self) -> Vec<u8> {
        let mut dict = Dict::new();
        self.body.kind().to_owned().put("kind", &mut dict);
        self.run.put("run", &mut dict);
        self.at.put("at", &mut dict);
        self.utc.earliest_us.put("utc_min", &mut dict);
        self.utc.latest_us.put("utc_max", &mut dict);
        self.utc.synchronised.put("utc_sync", &mut dict);
        self.body.put(&mut dict);
        for (key, raw) in &self.unknown {
            dict.put(key, skep_wire::bencode::Item::Raw(raw.clone()));
        }
        dict.encode()
    }

    /// Reads a record; refuses every encoding but the canonical one.
    ///
    /// Fields and kinds that this build does not know are kept, and encoded again as they came.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { got: bytes.len() });
        }
        let mut kind = String::from("unread");
        let record = Self::read(bytes, &mut kind).map_err(|why| RecordError::Field {
            kind: kind.clone(),
            why,
        })?;
        if let Body::RunStarted { format: got, .. } = record.body
            && !(1..=FORMAT).contains(&got)
        {
            return Err(RecordError::Format { got });
        }
        if record.encode() != bytes {
            return Err(RecordError::Field {
                kind,
                why: FieldError::NotCanonical,
            });
        }
        Ok(record)
    }

    fn read(bytes: &[u8], kind: &mut String) -> Result<Self, FieldError> {
        let mut fields = Fields::decode("record", bytes)?;
        *kind = fields.take("kind")?;
        Ok(Self {
            run: fields.take("run")?,
            at: fields.take("at")?,
            utc: UtcInterval {
                earliest_us: fields.take("utc_min")?,
                latest_us: fields.take("utc_max")?,
                synchronised: fields.take("utc_sync")?,
            },
            body: Body::take(kind, &mut fields)?,
            unknown: fields.rest(),
        })
    }
}
