//! How the values of options are read: each says what it takes, and refuses what cannot be meant.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::units::{Bytes, Span};

/// The longest time that can be given for anything but the length of a run: a year.
const SPAN_MAX: Duration = Duration::from_secs(365 * 86_400);

/// The longest run: a hundred years.
const RUN_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The greatest ratio to share up to. Beyond it is for ever.
const RATIO_MAX: f64 = 1e6;

/// Reads an address with or without a port, or a port alone, of all IPv4 addresses.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    listen_or(text, Ipv4Addr::UNSPECIFIED.into())
}

/// The same, but a port alone is that of all addresses of both IP versions.
pub(crate) fn listen_both(text: &str) -> Result<SocketAddr, String> {
    listen_or(text, Ipv6Addr::UNSPECIFIED.into())
}

fn listen_or(text: &str, all: IpAddr) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let addr = if let Ok(addr) = text.parse::<SocketAddr>() {
        addr
    } else if let Ok(ip) = bare.parse() {
        // Before the port alone: "::1" begins with a colon, too.
        SocketAddr::new(ip, 0)
    } else if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        SocketAddr::new(all, port)
    } else {
        return Err("write a numeric address, ADDRESS:PORT, or :PORT".to_owned());
    };
    local(addr.ip())?;
    Ok(addr)
}

/// Reads an address and a port to listen on.
pub(crate) fn listen_exactly(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        "write ADDRESS:PORT with a numeric address, for example 127.0.0.1:6969 or [::]:6969";
    let addr: SocketAddr = text.parse().map_err(|_| wrong.to_owned())?;
    local(addr.ip())?;
    Ok(addr)
}

/// Reads an address to send from.
pub(crate) fn bind(text: &str) -> Result<IpAddr, String> {
    let ip = text
        .parse()
        .map_err(|_| "write a numeric address without a port, for example 192.0.2.1".to_owned())?;
    local(ip)?;
    Ok(ip)
}

/// Refuses what no machine has as an address of its own.
fn local(ip: IpAddr) -> Result<(), String> {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_multicast() || is_broadcast {
        return Err("that is an address of many machines".to_owned());
    }
    Ok(())
}

/// Reads the address of a peer.
pub(crate) fn peer(text: &str) -> Result<SocketAddr, String> {
    let wrong = "write ADDRESS:PORT with a numeric address, for example 192.0.2.1:6881";
    let addr: SocketAddr = text.parse().map_err(|_| wrong.to_owned())?;
    local(addr.ip())?;
    if addr.port() == 0 || addr.ip().is_unspecified() {
        return Err("nobody can be reached there".to_owned());
    }
    Ok(addr)
}

/// Reads a number of connections, or what else there may be one to ten thousand of.
pub(crate) fn conns(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err("a number from 1 to 10000 is needed".to_owned()),
    }
}

/// Reads how many times the size is to be shared.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=RATIO_MAX).contains(&ratio) => Ok(ratio),
        Ok(ratio) if ratio > RATIO_MAX => Err("use --seed to share until interrupted".to_owned()),
        _ => Err("a ratio is a number that is not negative, for example 1.5".to_owned()),
    }
}

/// Reads a limit of what is received a second. With no byte a second a download never ends.
pub(crate) fn download_rate(text: &str) -> Result<Bytes, String> {
    match text.parse()? {
        Bytes(0) => Err("nothing would ever come; leave it out for no limit".into()),
        limit => Ok(limit),
    }
}

/// Reads a limit of what is sent a second. To some programs 0 is no limit, to others it is no byte.
pub(crate) fn upload_rate(text: &str) -> Result<Bytes, String> {
    match text.parse()? {
        Bytes(0) => Err("nothing would ever be sent; leave it out for no limit".into()),
        limit => Ok(limit),
    }
}

/// Reads the memory for payload.
pub(crate) fn memory(text: &str) -> Result<Bytes, String> {
    match text.parse()? {
        Bytes(bytes) if bytes < 3 << 20 => Err("at least 3MiB are needed".to_owned()),
        memory => Ok(memory),
    }
}

/// Reads a time of a second at least.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(time) if time.is_zero() => Err("a second at least".to_owned()),
        Span(time) if time > SPAN_MAX => Err("a year at most".to_owned()),
        span => Ok(span),
    }
}

/// Reads a time that may be none.
pub(crate) fn span_or_none(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(time) if time > SPAN_MAX => Err("a year at most".to_owned()),
        span => Ok(span),
    }
}

/// Reads how long a run lasts.
pub(crate) fn run_time(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(time) if time.is_zero() => Err("a second at least".to_owned()),
        Span(time) if time > RUN_MAX => Err("leave it out to run until interrupted".to_owned()),
        span => Ok(span),
    }
}

/// Reads a name of something that has one.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a name has letters".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the name of a ledger's key, which stands in lines where blanks and plus signs part.
pub(crate) fn key_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(
            "a name without blanks and plus signs is needed, for example example.org/observer"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_are_read_with_and_without_a_port() {
        let read = |text: &str| listen(text).map(|addr| addr.to_string());
        assert_eq!(read("127.0.0.1"), Ok("127.0.0.1:0".to_owned()));
        assert_eq!(read("127.0.0.1:7"), Ok("127.0.0.1:7".to_owned()));
        assert_eq!(read(":7"), Ok("0.0.0.0:7".to_owned()));
        assert_eq!(
            listen_both(":7").map(|addr| addr.to_string()),
            Ok("[::]:7".to_owned())
        );
        assert_eq!(read("::1"), Ok("[::1]:0".to_owned()));
        assert_eq!(read("[::1]"), Ok("[::1]:0".to_owned()));
        assert_eq!(read("[::1]:7"), Ok("[::1]:7".to_owned()));
        for wrong in [
            "",
            ":",
            ":x",
            ":65536",
            "localhost",
            "224.0.0.1",
            "255.255.255.255:1",
            "ff02::1",
        ] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_refused() {
        for wrong in ["nan", "inf", "-inf", "-1", "-0.5", "1e300", "x", ""] {
            assert!(ratio(wrong).is_err(), "{wrong}");
        }
        assert_eq!((ratio("0"), ratio("1.5")), (Ok(0.0), Ok(1.5)));
        for wrong in ["0", "-1", "10001", "99999999999999999999", "1.5", ""] {
            assert!(conns(wrong).is_err(), "{wrong}");
        }
        assert_eq!((conns("1"), conns("10000")), (Ok(1), Ok(10_000)));
        for wrong in [
            "192.0.2.1:0",
            "0.0.0.0:1",
            "[::]:1",
            "224.0.0.1:1",
            "192.0.2.1",
            "a:1",
        ] {
            assert!(peer(wrong).is_err(), "{wrong}");
        }
        assert!(peer("[2001:db8::1]:6881").is_ok());
        assert!(memory("2MiB").is_err() && memory("3MiB").is_ok());
        assert!(download_rate("0").is_err() && download_rate("1").is_ok());
        assert!(upload_rate("0").is_err() && upload_rate("1").is_ok());
        assert!(span("0s").is_err() && span("366d").is_err() && span("1").is_ok());
        assert!(span_or_none("0s").is_ok() && span_or_none("366d").is_err());
        assert!(run_time("0").is_err() && run_time("36501d").is_err() && run_time("400d").is_ok());
    }
}
