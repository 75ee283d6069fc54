//! One announce to one tracker: look-up, addresses in turn, connection or datagrams, redirects.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_wire::{
    Moment,
    http::{Host, Scheme, Url},
    tracker::Family,
};

use super::{ADDRS_TRIED_MAX, AddrChoice, AnnouncerConfig, Mode, TRACKER_TIME_MAX};
use crate::{
    rng::Rng,
    tracker::client::{
        Ask, CONNECT_TIME_MAX, HttpExchange, NoConnection, Outcome, Question, RESOLVE_TIME_MAX,
        TrackerFailure, UdpConnection, UdpExchange, UdpPace,
    },
};

/// The next numbers of connections and look-ups.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    conn: u32,
    query: u32,
}

fn next(number: &mut u32) -> u32 {
    let this = *number;
    *number = number.wrapping_add(1);
    this
}

/// What an exchange uses of its announcer.
pub(super) struct Context<'a> {
    pub(super) config: &'a AnnouncerConfig,
    pub(super) rng: &'a mut Rng,
    pub(super) numbers: &'a mut Numbers,
    pub(super) asks: &'a mut VecDeque<Ask>,
    pub(super) now: Moment,
}

/// ```text
/// Resolving --> Connecting --> Talking (HTTP) --> Done
///     |             ^--- next address ---|
///     |             ^--- redirect -------|
///     '-------> Datagrams (UDP) ---------------> Done
/// ```
#[derive(Debug)]
pub(super) struct Asking {
    url: Url,
    /// The version of the addresses that are tried; `None` tries both.
    family: Option<Family>,
    question: Question,
    connection: Option<UdpConnection>,
    farewell: Option<Duration>,
    /// When it is over at the latest, whatever is under way.
    ends_at: Option<Moment>,
    /// Made when a first connection stands; redirects keep it, so that it knows where it was.
    http: Option<HttpExchange>,
    addrs: VecDeque<SocketAddr>,
    remote: Option<SocketAddr>,
    /// Whether the question left, wholly or in part.
    sent: bool,
    state: State,
    redirects: Vec<Url>,
}

#[derive(Debug)]
enum State {
    Resolving { query: u32, deadline: Moment },
    Connecting { conn: u32, deadline: Moment },
    Talking { conn: u32 },
    Datagrams(Box<UdpExchange>),
    Done(Outcome),
    Reported,
}

impl Asking {
    /// Begins. `query` is the look-up of the same name that another exchange begins at this very
    /// moment, or, after the call, the one that this exchange begins: one serves both.
    pub(super) fn new(
        url: Url,
        family: Option<Family>,
        question: Question,
        connection: Option<UdpConnection>,
        farewell: Option<Duration>,
        query: &mut Option<u32>,
        cx: &mut Context<'_>,
    ) -> Self {
        let mut asking = Self {
            url,
            family,
            question,
            connection,
            farewell,
            ends_at: match cx.config.mode {
                Mode::Tiers => Some(cx.now + TRACKER_TIME_MAX),
                // Nobody waits for it.
                Mode::Every => None,
            },
            http: None,
            addrs: VecDeque::new(),
            remote: None,
            sent: false,
            state: State::Reported,
            redirects: Vec::new(),
        };
        asking.locate(query, cx);
        asking
    }

    pub(super) fn was_sent(&self) -> bool {
        self.sent
    }

    pub(super) fn connection(&self) -> Option<UdpConnection> {
        self.connection
    }

    pub(super) fn take_redirects(&mut self) -> Vec<Url> {
        std::mem::take(&mut self.redirects)
    }

    pub(super) fn poll_outcome(&mut self) -> Option<(Option<SocketAddr>, Outcome)> {
        if !matches!(self.state, State::Done(_)) {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Reported) {
            State::Done(outcome) => Some((self.remote, outcome)),
            _ => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let end = self.ends_at.filter(|_| !self.is_over());
        let end = end.map(|at| (at, "tracker time"));
        [self.step_timeout(), end].into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Done(_) | State::Reported)
    }

    fn step_timeout(&self) -> Option<(Moment, &'static str)> {
        match &self.state {
            State::Resolving { deadline, .. } => Some((*deadline, "tracker look-up")),
            State::Connecting { deadline, .. } => Some((*deadline, "tracker connection")),
            State::Talking { .. } => self.http.as_ref()?.poll_timeout(),
            State::Datagrams(exchange) => exchange.poll_timeout(),
            // An outcome that is already there at birth is taken up at once.
            State::Done(_) => Some((Moment::ZERO, "tracker outcome")),
            State::Reported => None,
        }
    }

    /// Stops without an outcome.
    pub(super) fn cancel(&mut self, asks: &mut VecDeque<Ask>) {
        if let State::Connecting { conn, .. } | State::Talking { conn } = self.state {
            asks.push_back(Ask::Close { conn });
        }
        self.state = State::Reported;
    }

    /// Finds the addresses of the URL.
    fn locate(&mut self, shared: &mut Option<u32>, cx: &mut Context<'_>) {
        match self.url.host.clone() {
            Host::Addr(ip) => self.take_addrs(&[ip], cx),
            Host::Name(host) => {
                let query = *shared.get_or_insert_with(|| {
                    let query = next(&mut cx.numbers.query);
                    cx.asks.push_back(Ask::Resolve { query, host });
                    query
                });
                let time = self.farewell.unwrap_or(RESOLVE_TIME_MAX);
                self.state = State::Resolving {
                    query,
                    deadline: cx.now + time,
                };
            }
        }
    }

    fn take_addrs(&mut self, ips: &[IpAddr], cx: &mut Context<'_>) {
        let ours = self.family;
        let usable = ips.iter().filter_map(|&ip| {
            // An IPv4 address in an IPv6 one is reached over IPv4, and lists are in its form.
            let ip = match cx.config.addr_choice {
                AddrChoice::EachFamily => ip.to_canonical(),
                AddrChoice::FirstThatAnswers => ip,
            };
            let family = Family::of(ip);
            let usable = cx.config.families.contains(&family) && ours.is_none_or(|f| f == family);
            usable.then_some(ip)
        });
        let port = self.url.port;
        self.addrs = usable
            .take(ADDRS_TRIED_MAX)
            .map(|ip| SocketAddr::new(ip, port))
            .collect();
        if self.addrs.is_empty() {
            self.state = State::Done(Outcome::Failed(TrackerFailure::NameNotFound));
        } else {
            self.try_next(cx);
        }
    }

    /// Tries the next address, which there is.
    fn try_next(&mut self, cx: &mut Context<'_>) {
        let Some(remote) = self.addrs.pop_front() else {
            return;
        };
        self.remote = Some(remote);
        match self.url.scheme {
            Scheme::Http => {
                let conn = next(&mut cx.numbers.conn);
                let timeout = self.farewell.unwrap_or(CONNECT_TIME_MAX);
                cx.asks.push_back(Ask::Connect {
                    conn,
                    remote,
                    timeout,
                });
                // The driver's own clock decides; ours is for a driver that never answers.
                let deadline = cx.now + timeout + Duration::from_secs(1);
                self.state = State::Connecting { conn, deadline };
            }
            Scheme::Udp => {
                let pace = if self.farewell.is_some() {
                    UdpPace::FAREWELL
                } else {
                    cx.config.udp_pace
                };
                let exchange = UdpExchange::new(
                    remote,
                    self.question.clone(),
                    &self.url.target,
                    self.connection,
                    pace,
                    cx.rng,
                    cx.now,
                );
                self.state = State::Datagrams(Box::new(exchange));
                self.pump_udp(cx);
            }
        }
    }

    /// An address led nowhere: the next one, or the end.
    fn address_failed(&mut self, why: TrackerFailure, cx: &mut Context<'_>) {
        if self.addrs.is_empty() {
            self.state = State::Done(Outcome::Failed(why));
        } else {
            self.try_next(cx);
        }
    }

    pub(super) fn handle_resolved(&mut self, query: u32, ips: &[IpAddr], cx: &mut Context<'_>) {
        if matches!(self.state, State::Resolving { query: ours, .. } if ours == query) {
            self.take_addrs(ips, cx);
        }
    }

    pub(super) fn handle_opened(&mut self, conn: u32, cx: &mut Context<'_>) {
        if !matches!(self.state, State::Connecting { conn: ours, .. } if ours == conn) {
            return;
        }
        if self.http.is_none() {
            let (url, question) = (self.url.clone(), self.question.clone());
            match HttpExchange::new(url, question, &cx.config.user_agent, cx.now) {
                Ok(exchange) => self.http = Some(exchange),
                Err(why) => {
                    cx.asks.push_back(Ask::Close { conn });
                    self.state = State::Done(Outcome::Failed(why));
                    return;
                }
            }
        }
        self.state = State::Talking { conn };
        self.pump_http(cx);
    }

    pub(super) fn handle_failed(&mut self, conn: u32, why: NoConnection, cx: &mut Context<'_>) {
        if matches!(self.state, State::Connecting { conn: ours, .. } if ours == conn) {
            self.address_failed(TrackerFailure::NotConnected(why), cx);
        }
    }

    pub(super) fn handle_bytes(&mut self, conn: u32, bytes: &[u8], cx: &mut Context<'_>) {
        if matches!(self.state, State::Talking { conn: ours } if ours == conn)
            && let Some(http) = &mut self.http
        {
            http.handle_bytes(bytes, cx.now);
            self.pump_http(cx);
        }
    }

    pub(super) fn handle_end(&mut self, conn: u32, cx: &mut Context<'_>) {
        if matches!(self.state, State::Talking { conn: ours } if ours == conn)
            && let Some(http) = &mut self.http
        {
            http.handle_end(cx.now);
            self.pump_http(cx);
        }
    }

    pub(super) fn handle_datagram(
        &mut self,
        remote: SocketAddr,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let State::Datagrams(exchange) = &mut self.state else {
            return false;
        };
        let ours = exchange.handle_datagram(remote, bytes, cx.rng, cx.now);
        if ours {
            self.pump_udp(cx);
        }
        ours
    }

    pub(super) fn handle_unsent(&mut self, remote: SocketAddr, cx: &mut Context<'_>) {
        if matches!(&self.state, State::Datagrams(exchange) if exchange.remote() == remote) {
            let why = TrackerFailure::NotConnected(NoConnection::Unreachable);
            self.address_failed(why, cx);
        }
    }

    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if self.ends_at.is_some_and(|at| at <= cx.now) && !self.is_over() {
            self.cancel(cx.asks);
            let secs = TRACKER_TIME_MAX.as_secs();
            self.state = State::Done(Outcome::Failed(TrackerFailure::TimedOut { secs }));
        }
        match &mut self.state {
            State::Resolving { deadline, .. } if *deadline <= cx.now => {
                self.state = State::Done(Outcome::Failed(TrackerFailure::NameNotFound));
            }
            State::Connecting { conn, deadline } if *deadline <= cx.now => {
                cx.asks.push_back(Ask::Close { conn: *conn });
                let why = TrackerFailure::NotConnected(NoConnection::TimedOut);
                self.address_failed(why, cx);
            }
            State::Talking { .. } => {
                if let Some(http) = &mut self.http {
                    http.handle_timeout(cx.now);
                }
                self.pump_http(cx);
            }
            State::Datagrams(exchange) => {
                exchange.handle_timeout(cx.rng, cx.now);
                self.pump_udp(cx);
            }
            State::Resolving { .. }
            | State::Connecting { .. }
            | State::Done(_)
            | State::Reported => {}
        }
    }

    fn pump_http(&mut self, cx: &mut Context<'_>) {
        let State::Talking { conn } = self.state else {
            return;
        };
        let Some(http) = &mut self.http else { return };
        match http.poll_outcome() {
            None => {
                if let Some(bytes) = http.poll_transmit() {
                    self.sent = true;
                    cx.asks.push_back(Ask::Send { conn, bytes });
                    if let Some(time) = self.farewell {
                        http.hurry(time, cx.now);
                    }
                }
            }
            Some(Outcome::Redirected) => {
                cx.asks.push_back(Ask::Close { conn });
                self.url = http.url().clone();
                self.redirects.push(self.url.clone());
                self.locate(&mut None, cx);
            }
            Some(outcome) => {
                cx.asks.push_back(Ask::Close { conn });
                self.state = State::Done(outcome);
            }
        }
    }

    fn pump_udp(&mut self, cx: &mut Context<'_>) {
        let State::Datagrams(exchange) = &mut self.state else {
            return;
        };
        let remote = exchange.remote();
        while let Some(bytes) = exchange.poll_transmit() {
            self.sent |= exchange.connection().is_some();
            cx.asks.push_back(Ask::SendTo { remote, bytes });
        }
        self.connection = exchange.connection();
        match exchange.poll_outcome() {
            None => {}
            Some(Outcome::Failed(why @ TrackerFailure::TimedOut { .. })) => {
                self.address_failed(why, cx);
            }
            Some(outcome) => self.state = State::Done(outcome),
        }
    }
}
