//! Hashes on one core with every engine that the machine has: what `cargo xtask bench hash` measures.
//!
//! ```text
//! hash-lanes REPS      a JSON line for each figure, REPS times
//! ```
//!
//! A figure is the best of many windows of about a millisecond, in CPU time of the process: on a machine
//! that is shared with others, most windows are disturbed.

use std::{env, hint::black_box, process::ExitCode};

use rustix::time::{ClockId, clock_gettime};
use skep_hash::{
    Sha256Digest,
    lanes::{Algorithm, Engine, Stream},
    merkle::BLOCK_LEN,
};

/// What a window hashes, at least.
const WINDOW_BYTES: usize = 2 << 20;

/// Windows of a figure.
const WINDOWS: usize = 200;

/// What each stream is fed at a time.
const STRETCH: usize = 32 * 1024;

/// From stretch to stretch: not a power of two, as in `skep create`.
const STRIDE: usize = STRETCH + 64;

fn main() -> ExitCode {
    let Some(reps) = env::args().nth(1).and_then(|reps| reps.parse().ok()) else {
        eprintln!("usage: hash-lanes REPS");
        return ExitCode::from(2);
    };
    let bytes: Vec<u8> = (0..16 * STRIDE).map(|n| (n * 31 / 7) as u8).collect();
    let pairs: Vec<_> = (0..1024)
        .map(|n| [Sha256Digest([n as u8; 32]), Sha256Digest([3; 32])])
        .collect();
    for rep in 0..reps {
        for engine in Engine::all() {
            let say = |what: &str, gb_per_s: f64| {
                let name = engine.name();
                println!(
                    "{{\"h\":\"HASH\",\"what\":\"{what}, {name}\",\"rep\":{rep},\"GBps\":{gb_per_s:.2}}}"
                );
            };
            for count in [1, 2, 4, 8, 16] {
                let sha1 = streams::<skep_hash::Sha1>(engine, &bytes, count);
                say(&format!("SHA-1 of {count}"), sha1);
                let sha256 = streams::<skep_hash::Sha256>(engine, &bytes, count);
                say(&format!("SHA-256 of {count}"), sha256);
            }
            let leaves = &bytes[..32 * BLOCK_LEN as usize];
            let gb_per_s = best(leaves.len(), || {
                black_box(engine.sha256_blocks(black_box(leaves), BLOCK_LEN as usize));
            });
            say("SHA-256 of neighbouring blocks of 16 KiB", gb_per_s);
            let gb_per_s = best(64 * pairs.len(), || {
                black_box(engine.sha256_pairs(black_box(&pairs)));
            });
            say("SHA-256 of pairs of digests", gb_per_s);
        }
    }
    ExitCode::SUCCESS
}

/// Feeds `count` streams in step.
fn streams<H: Algorithm>(engine: Engine, bytes: &[u8], count: usize) -> f64 {
    let mut streams: Vec<Stream<H>> = (0..count).map(|_| Stream::new()).collect();
    best(count * STRETCH, || {
        let parts = bytes.chunks(STRIDE).map(|chunk| &chunk[..STRETCH]);
        engine.update_each(&mut streams.iter_mut().zip(parts).collect::<Vec<_>>());
    })
}

/// The most that `work`, which takes `bytes` bytes, reached in any window: 10⁹ bytes a second.
fn best(bytes: usize, mut work: impl FnMut()) -> f64 {
    let times = WINDOW_BYTES.div_ceil(bytes);
    let window = |_| {
        let begin = cpu_seconds();
        (0..times).for_each(|_| work());
        cpu_seconds() - begin
    };
    let least = (0..WINDOWS).map(window).fold(f64::INFINITY, f64::min);
    (times * bytes) as f64 / least / 1e9
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
