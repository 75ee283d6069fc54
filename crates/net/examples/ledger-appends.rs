//! Appends records to a new ledger and ends when all are durable: what `cargo xtask bench ledger`
//! measures.
//!
//! ```text
//! ledger-appends DIR COUNT GROUP      COUNT records, committed GROUP at a time
//! ```

use std::{env, path::Path, process::ExitCode};

use skep_evidence::{
    clock::{ClockSample, UtcInterval},
    record::{Body, Record, TargetIndex},
};
use skep_hash::sha256;
use skep_net::store::{ObservationStore, RunBegin, StoreError};
use skep_wire::Moment;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let numbers: Vec<u64> = args
        .iter()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let (Some(dir), &[count, group]) = (args.first(), numbers.as_slice()) else {
        eprintln!("usage: ledger-appends DIR COUNT GROUP");
        return ExitCode::from(2);
    };
    match append(Path::new(dir), count, group) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

fn append(dir: &Path, count: u64, group: u64) -> Result<(), StoreError> {
    let (mut store, _) = ObservationStore::open(dir, "bench")?;
    let run = store.begin_run(&RunBegin {
        version: env!("CARGO_PKG_VERSION"),
        binary: sha256(b"not measured"),
        build: "bench",
        config: b"de",
        torrents: &[],
        clock: ClockSample {
            before: Moment::ZERO,
            after: Moment::ZERO,
            utc_us: 0,
            error_us_max: 0,
            synchronised: false,
        },
    })?;
    let mut record = Record {
        run,
        at: Moment::ZERO,
        utc: UtcInterval {
            earliest_us: 0,
            latest_us: 0,
            synchronised: false,
        },
        body: Body::TrackerFailed {
            target: TargetIndex(0),
            url: "http://127.0.0.1:6969/announce".into(),
            remote: None,
            error: "x".repeat(130),
        },
        unknown: Vec::new(),
    };
    for n in 0..count {
        record.at = Moment(n);
        store.append_record(&record)?;
        if (n + 1).is_multiple_of(group.max(1)) {
            store.commit()?;
        }
    }
    store.commit()?;
    Ok(())
}
