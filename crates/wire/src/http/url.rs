//! Tracker URLs (RFC 3986 as far as trackers use it).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Greatest length of a URL.
pub const URL_LEN_MAX: usize = 2_048;

/// How a tracker is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `http`: TCP, port 80 unless named.
    Http,
    /// `udp` (BEP 15): a port must be named.
    Udp,
}

/// Where a tracker is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name to be looked up, in lower case.
    Name(String),
    /// An address.
    Addr(IpAddr),
}

/// A tracker URL, taken apart. User information and fragment are dropped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// How it is reached.
    pub scheme: Scheme,
    /// Where it is.
    pub host: Host,
    /// On which port.
    pub port: u16,
    /// Path and query, printable ASCII; `/` at least for `http`, possibly empty for `udp`.
    pub target: String,
}

/// Why a URL names no tracker that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is too long.
    #[error("url of {len} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Its length.
        len: usize,
        /// [`URL_LEN_MAX`].
        limit: usize,
    },
    /// There is no `scheme://`.
    #[error("url without a scheme")]
    NoScheme,
    /// `https`, which needs TLS.
    #[error("https is not supported yet")]
    HttpsNotSupported,
    /// Another scheme, such as `wss`.
    #[error("url scheme {scheme:?} is not supported")]
    UnknownScheme {
        /// The scheme, escaped.
        scheme: String,
    },
    /// The host is missing or holds characters that no host name has.
    #[error("host {host:?} is not a host name or address")]
    BadHost {
        /// The host, escaped.
        host: String,
    },
    /// The port is no number from 1 to 65535, or is missing where it must be named.
    #[error("port {port:?} is not a number from 1 to 65535")]
    BadPort {
        /// The port, escaped; empty if it is missing.
        port: String,
    },
    /// Path or query hold blanks, control characters or bytes beyond ASCII.
    #[error("path or query holds the byte {byte:#04x}")]
    BadTarget {
        /// The first such byte.
        byte: u8,
    },
}

impl Url {
    /// Reads a URL as a torrent names it. Surrounding blanks are ignored.
    ///
    /// # Errors
    ///
    /// [`UrlError`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.len() > URL_LEN_MAX {
            return Err(UrlError::TooLong {
                len: text.len(),
                limit: URL_LEN_MAX,
            });
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "udp" => Scheme::Udp,
            "https" => return Err(UrlError::HttpsNotSupported),
            _ => {
                return Err(UrlError::UnknownScheme {
                    scheme: scheme.escape_default().to_string(),
                });
            }
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let (host, port) = split_port(authority)?;
        let target = parse_target(scheme, target)?;
        Ok(Self {
            scheme,
            host: parse_host(host)?,
            port: parse_port(scheme, port)?,
            target,
        })
    }

    /// The URL that a `Location` header names, seen from this one.
    ///
    /// # Errors
    ///
    /// [`UrlError`] with what is wrong; a redirect from one scheme to another is possible here.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.trim();
        if location.is_empty() {
            return Ok(self.clone());
        }
        if location.contains("://") && !location.starts_with(['/', '?']) {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme));
        }
        if location.len() > URL_LEN_MAX {
            return Err(UrlError::TooLong {
                len: location.len(),
                limit: URL_LEN_MAX,
            });
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
            format!("{folder}{location}")
        };
        Ok(Self {
            target: parse_target(self.scheme, &target)?,
            ..self.clone()
        })
    }

    /// The value of a `Host` header: the port is named unless it is 80.
    pub fn host_header(&self) -> String {
        match (&self.host, self.port) {
            (host, 80) => host.to_string(),
            (host, port) => format!("{host}:{port}"),
        }
    }

    /// The scrape URL (BEP 48): the text after the last `/` of the path must begin with
    /// `announce`, which becomes `scrape`. UDP trackers need no other URL.
    pub fn scrape(&self) -> Option<Self> {
        if self.scheme == Scheme::Udp {
            return Some(self.clone());
        }
        let path_len = self.target.find('?').unwrap_or(self.target.len());
        let name_at = self.target[..path_len].rfind('/')? + 1;
        let rest = self.target[name_at..].strip_prefix("announce")?;
        let target = format!("{}scrape{rest}", &self.target[..name_at]);
        Some(Self {
            target,
            ..self.clone()
        })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    let bad = || UrlError::BadHost {
        host: authority.escape_default().to_string(),
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let end = rest.find(']').ok_or_else(bad)?;
        let port = match &rest[end + 1..] {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or_else(bad)?),
        };
        return Ok((&authority[..end + 2], port));
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

fn parse_host(host: &str) -> Result<Host, UrlError> {
    const NAME_LEN_MAX: usize = 253;
    let bad = || UrlError::BadHost {
        host: host.escape_default().to_string(),
    };
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or_else(bad)?;
        return literal
            .parse::<Ipv6Addr>()
            .map(|ip| Host::Addr(ip.into()))
            .map_err(|_| bad());
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Addr(ip.into()));
    }
    let name_ok = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if host.is_empty() || host.len() > NAME_LEN_MAX || !name_ok {
        return Err(bad());
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

fn parse_port(scheme: Scheme, port: Option<&str>) -> Result<u16, UrlError> {
    let bad = |port: &str| UrlError::BadPort {
        port: port.escape_default().to_string(),
    };
    match (port, scheme) {
        (None | Some(""), Scheme::Http) => Ok(80),
        (None, Scheme::Udp) => Err(bad("")),
        (Some(text), _) => {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let port = text.parse().ok().filter(|&port| digits && port != 0);
            port.ok_or_else(|| bad(text))
        }
    }
}

fn parse_target(scheme: Scheme, target: &str) -> Result<String, UrlError> {
    let target = target.split('#').next().unwrap_or("");
    if let Some(byte) = target.bytes().find(|byte| !byte.is_ascii_graphic()) {
        return Err(UrlError::BadTarget { byte });
    }
    Ok(match (scheme, target.starts_with('/')) {
        (Scheme::Http, false) => format!("/{target}"),
        (Scheme::Http, true) | (Scheme::Udp, _) => target.to_owned(),
    })
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Addr(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Addr(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if !(self.scheme == Scheme::Http && self.port == 80) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.target)
    }
}
