//! What to do about errors of the system.

use std::io::{self, ErrorKind};

/// What a user can do about the error of the system that `text` speaks of, if that can be said without
/// knowing what was tried.
///
/// It goes by the number that the standard library writes into the words of such an error. Many of our
/// errors carry those words only, as some are kept in records and some cross threads.
pub(crate) fn of(text: &str) -> Option<&'static str> {
    of_number(number(text)?)
}

/// The same for a socket that cannot listen.
pub(crate) fn of_listening(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::PermissionDenied => Some("ports below 1024 are for the superuser"),
        _ => of_number(error.raw_os_error()?),
    }
}

/// What a user can do about the system's error `number`.
fn of_number(number: i32) -> Option<&'static str> {
    match number {
        numbers::EMFILE => {
            return Some("raise the limit of open files (ulimit -n), or ask for fewer connections");
        }
        numbers::ENFILE => {
            return Some("the whole machine has too many files open: end other programs");
        }
        _ => {}
    }
    match io::Error::from_raw_os_error(number).kind() {
        ErrorKind::PermissionDenied => {
            Some("you may not do that there: choose another place, or ask whoever owns it")
        }
        ErrorKind::IsADirectory => Some("that is a folder; name a file"),
        ErrorKind::NotADirectory => {
            Some("a file lies where a folder is needed: choose another place, or move it away")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("make room there, or choose a place on another disk")
        }
        ErrorKind::ReadOnlyFilesystem => {
            Some("that file system can only be read: choose another place")
        }
        ErrorKind::InvalidFilename => {
            Some("file systems take names of up to 255 bytes, some fewer: choose a shorter one")
        }
        ErrorKind::AlreadyExists => {
            Some("something else lies there already: choose another place, or move it away")
        }
        ErrorKind::AddrInUse => Some("another program uses the port; choose another one"),
        ErrorKind::AddrNotAvailable => {
            Some("this machine does not have the address; `ip address` lists those that it has")
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            Some("no network leads there; `ip address` and `ip route` show those that are up")
        }
        _ => None,
    }
}

/// The last number that `text` names as an error of the system.
fn number(text: &str) -> Option<i32> {
    let (_, after) = text.rsplit_once("(os error ")?;
    after.split_once(')')?.0.parse().ok()
}

/// Numbers that have no [`ErrorKind`] of their own; they are the same on every Unix.
mod numbers {
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_come_with_a_hint_of_what_to_do() {
        for (said, hint) in [
            ("a: Network is unreachable (os error 101)", "ip route"),
            (
                "t: making the folder: File exists (os error 17)",
                "lies there",
            ),
            ("write t: Permission denied (os error 13)", "you may not"),
            ("read t: Is a directory (os error 21)", "name a file"),
            ("open t/a: Not a directory (os error 20)", "a file lies"),
            (
                "write t: No space left on device (os error 28)",
                "make room",
            ),
            ("write t: Disk quota exceeded (os error 122)", "make room"),
            ("open t: Too many open files (os error 24)", "ulimit -n"),
            (
                "open t: Too many open files in system (os error 23)",
                "machine",
            ),
            (
                "write t: Read-only file system (os error 30)",
                "only be read",
            ),
            ("open t: File name too long (os error 36)", "255 bytes"),
            (
                "listen: Address already in use (os error 98)",
                "another one",
            ),
            (
                "listen: Cannot assign requested address (os error 99)",
                "ip address",
            ),
        ] {
            let said = of(said).expect(said);
            assert!(said.contains(hint), "{said}");
        }
    }

    #[test]
    fn other_errors_come_without() {
        for said in [
            "",
            "t: not a torrent",
            "(os error 13",
            "(os error x)",
            "read t: I/O error (os error 5)",
        ] {
            assert_eq!(of(said), None, "{said}");
        }
    }
}
