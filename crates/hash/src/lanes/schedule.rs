//! Which stream is in which lane, until all are through.
//!
//! Lanes in use are always the first ones: a stream that ends is replaced by the next that waits, or
//! by the one of the last lane in use. All lanes go as many blocks ahead as the shortest has left.
//! The state of a lane stays in its column meanwhile and is copied when its stream enters and leaves.

use super::{Engine, LANES_MAX, sealed::Compress};

/// A stream's state and the blocks that go into it.
pub(super) struct Job<'b, S> {
    pub(super) state: S,
    pub(super) blocks: &'b [[u8; 64]],
}

/// Takes every job's blocks into its state.
pub(super) fn run<H: Compress>(engine: Engine, jobs: &mut [Job<'_, H::State>]) {
    let lanes = engine.lanes();
    let mut rows = H::ROWS;
    let mut blocks: [&[[u8; 64]]; LANES_MAX] = [&[]; LANES_MAX];
    let mut live: Vec<&mut H::State> = Vec::with_capacity(lanes);
    let mut waiting = jobs.iter_mut().filter(|job| !job.blocks.is_empty());
    loop {
        while live.len() < lanes
            && let Some(job) = waiting.next()
        {
            blocks[live.len()] = job.blocks;
            enter::<H>(&mut rows, live.len(), &job.state);
            live.push(&mut job.state);
        }
        let Some(code) = H::code(engine, live.len()) else {
            break;
        };
        let count = blocks[..live.len()].iter().map(|left| left.len()).min();
        let count = count.expect("at least one lane is in use");
        // An idle lane hashes what the first hashes, and nobody looks at its column.
        let first = blocks[0];
        blocks[live.len()..].fill(first);
        H::run(code, live.len(), &mut rows, &blocks, count);
        for lane in (0..live.len()).rev() {
            blocks[lane] = &blocks[lane][count..];
            if blocks[lane].is_empty() {
                let last = live.len() - 1;
                leave::<H>(&mut rows, lane, live[lane]);
                live.swap_remove(lane);
                blocks.swap(lane, last);
                rows.as_mut()
                    .iter_mut()
                    .for_each(|row| row[lane] = row[last]);
            }
        }
    }
    for (lane, state) in live.into_iter().enumerate() {
        leave::<H>(&mut rows, lane, state);
        H::compress(state, blocks[lane]);
    }
    // Only an engine that goes one by one leaves anyone waiting.
    for job in waiting {
        H::compress(&mut job.state, job.blocks);
    }
}

/// Appends the digests of messages of two blocks, the last of which is padded already; as many as the
/// engine has lanes at most. They all begin and end together, so that no state is copied.
pub(super) fn start_equal<H: Compress>(
    engine: Engine,
    messages: &[[[u8; 64]; 2]],
    digests: &mut Vec<H::Digest>,
) {
    let Some(code) = H::code(engine, messages.len()) else {
        digests.extend(messages.iter().map(|blocks| {
            let mut state = H::START;
            H::compress(&mut state, blocks);
            H::digest(&state)
        }));
        return;
    };
    let mut rows = H::ROWS;
    for (row, word) in rows.as_mut().iter_mut().zip(H::START.as_ref()) {
        row.fill(*word);
    }
    let mut blocks: [&[[u8; 64]]; LANES_MAX] = [&messages[0]; LANES_MAX];
    for (lane, message) in blocks.iter_mut().zip(messages) {
        *lane = message;
    }
    H::run(code, messages.len(), &mut rows, &blocks, 2);
    for lane in 0..messages.len() {
        let mut state = H::START;
        leave::<H>(&mut rows, lane, &mut state);
        digests.push(H::digest(&state));
    }
}

fn enter<H: Compress>(rows: &mut H::Rows, lane: usize, state: &H::State) {
    for (row, word) in rows.as_mut().iter_mut().zip(state.as_ref()) {
        row[lane] = *word;
    }
}

fn leave<H: Compress>(rows: &mut H::Rows, lane: usize, state: &mut H::State) {
    for (row, word) in rows.as_mut().iter().zip(state.as_mut()) {
        *word = row[lane];
    }
}
