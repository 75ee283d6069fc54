//! The signals that ask the program to end without a person at the keyboard.

use std::{future::pending, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, and SIGHUP, which a terminal sends that is closed. A SIGHUP that was ignored when the
/// program started, as `nohup` does, stays ignored.
pub(crate) struct Ending {
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Ending {
    /// Listens from now on. Make it once, before a loop: what comes between two of them is lost.
    ///
    /// # Errors
    ///
    /// The system takes no handler for a signal.
    pub(crate) fn new() -> io::Result<Self> {
        let hangup = if is_ignored(SignalKind::hangup()) {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Waits for one of them. May be dropped and called again without loss.
    pub(crate) async fn recv(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether the system discards `kind`. Where it does not say, it is taken to deliver it.
fn is_ignored(kind: SignalKind) -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| ignores(&status, kind.as_raw_value()))
}

/// Whether the mask of ignored signals in the text of `/proc/PID/status` holds `number`.
fn ignores(status: &str, number: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(number - 1)
        .ok()
        .and_then(|place| 1u64.checked_shl(place));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_from_the_mask() {
        let status = "Name:\tskep\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, 1));
        assert!(ignores(status, 13));
        assert!(!ignores(status, 15));
        assert!(!ignores(status, 0));
        assert!(!ignores("Name:\tskep\n", 1));
    }
}
