//! Both IP versions of a tracker (BEP 7, "Tracker Hostname Resolution").

use std::net::{IpAddr, SocketAddr};

use skep_proto::{
    rng::Rng,
    tracker::client::{
        Announcer, Ask, EVENTS_MAX, Event, Mode, NoConnection, TRACKERS_MAX, TrackerFailure,
    },
};
use skep_wire::{
    Moment,
    http::parse_request,
    tracker::{
        AnnounceEvent::{self, Completed, Regular, Started, Stopped},
        AnnounceRequest, Family,
        http::{RetryIn, parse_announce},
        udp::Request,
    },
};

use super::net::{Host, Net, addr};

const V4: &str = "127.0.1.1";
const V6: &str = "::9";

/// Both announces say the same of us, key included, and one look-up serves them.
#[test]
fn both_versions_of_a_tracker_are_told_the_same() {
    for (mode, url) in modes_and_urls() {
        let mut net = Net::new(mode, &[&[url]]);
        net.config.key = 0x1234_5678;
        named(&mut net, &[V4, V6]);
        net.tracker(&on_v4(url));
        net.tracker(&on_v6(url));
        net.start();
        let look_ups = net.asked.iter().filter(|ask| ask.contains("Resolve"));
        assert_eq!(look_ups.count(), 1, "{mode:?} {url}");
        net.run_until(4_000);
        let expected = [(0, Started), (1_800, Regular), (3_600, Regular)];
        assert_eq!(announces(&net, Family::V4), expected, "{mode:?} {url}");
        assert_eq!(announces(&net, Family::V6), expected, "{mode:?} {url}");
        let (v4, v6) = (requests(&net, Family::V4), requests(&net, Family::V6));
        assert_eq!((v4.len(), v4[0].key), (3, 0x1234_5678));
        assert_eq!(v4, v6, "{mode:?} {url}");
        assert!(failures(&net).is_empty());
    }
}

/// Each version has its own interval and its own tracker id.
#[test]
fn results_of_the_versions_are_kept_apart() {
    for mode in [Mode::Tiers, Mode::Every] {
        let url = "http://t.example/announce";
        let mut net = Net::new(mode, &[&[url]]);
        named(&mut net, &[V4, V6]);
        net.fixed(&on_v4(url), "d8:intervali100e5:peers0:10:tracker id4:foure");
        net.fixed(&on_v6(url), "d8:intervali250e6:peers60:10:tracker id3:sixe");
        net.start();
        net.run_until(460);
        let at = |family| announces(&net, family).iter().map(|(at, _)| *at).collect();
        let (v4, v6): (Vec<u64>, Vec<u64>) = (at(Family::V4), at(Family::V6));
        assert_eq!(v4, [0, 100, 200, 300, 400], "{mode:?}");
        assert_eq!(v6, [0, 250], "{mode:?}");
        for (remote, request) in &net.sent[2..] {
            let id: &[u8] = if remote.is_ipv4() { b"four" } else { b"six" };
            let id = [b"&trackerid=", id].concat();
            let line = request.split(|&byte| byte == b' ').nth(1).unwrap();
            assert!(line.ends_with(&id), "{remote} {}", line.escape_ascii());
        }
    }
}

/// A machine without IPv6 is told so at once, by the way, and loses nothing.
#[test]
fn version_without_a_route_takes_nothing_from_the_other() {
    for mode in [Mode::Tiers, Mode::Every] {
        let mut net = Net::new(mode, &[&["udp://t.example:1"]]);
        named(&mut net, &[V6, V4]);
        net.no_route = vec![addr("[::9]:1")];
        net.tracker("127.0.1.1:1");
        net.start();
        net.run_until(2_000);
        let answered = [(0, Started), (1_800, Regular)];
        assert_eq!(announces(&net, Family::V4), answered, "{mode:?}");
        let failures = failures(&net);
        let unreachable = TrackerFailure::NotConnected(NoConnection::Unreachable);
        assert!(
            failures
                .iter()
                .all(|(_, why, wholly)| *why == unreachable && !wholly)
        );
        let at: Vec<u64> = failures.iter().map(|(at, _, _)| *at).collect();
        match mode {
            Mode::Tiers => assert_eq!(at, [0, 1_800]),
            Mode::Every => assert_eq!(at, [0, 30, 90, 210, 450, 930, 1_890]),
        }
    }
}

/// In tiers the tracker has answered once one version has; the next tier is not asked.
#[test]
fn version_that_is_silent_holds_nothing_up() {
    let tiers: &[&[&str]] = &[&["udp://t.example:1"], &["udp://127.0.1.2:1"]];
    let mut net = Net::new(Mode::Tiers, tiers);
    named(&mut net, &[V4, V6]);
    net.tracker_with("127.0.1.1:1", 60);
    net.hosts.insert(addr("[::9]:1"), Host::Silent);
    net.tracker("127.0.1.2:1");
    net.start();
    net.run_until(200);
    let at: Vec<u64> = announces(&net, Family::V4)
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(at, [0, 60, 120, 180]);
    assert_eq!(net.announces(1), []);
    let timed_out = TrackerFailure::TimedOut { secs: 105 };
    assert_eq!(failures(&net), [(105, timed_out, false)]);
}

#[test]
fn tracker_that_fails_over_both_versions_is_left_for_the_next_one() {
    let tiers: &[&[&str]] = &[&["http://t.example/announce"], &["udp://127.0.1.2:1"]];
    let mut net = Net::new(Mode::Tiers, tiers);
    named(&mut net, &[V4, V6]);
    net.hosts.insert(addr("127.0.1.1:80"), Host::Silent);
    net.hosts.insert(addr("[::9]:80"), Host::Refuses);
    net.tracker("127.0.1.2:1");
    net.start();
    net.run_until(1_000);
    let failed = |why, at, wholly| (at, TrackerFailure::NotConnected(why), wholly);
    assert_eq!(
        failures(&net),
        [
            failed(NoConnection::Refused, 0, false),
            failed(NoConnection::TimedOut, 15, true)
        ]
    );
    assert_eq!(net.announces(1), [(15, Started)]);
}

/// Most names have addresses of one version: that is no failure. When the other comes, it is found
/// at the next announce; when it goes, nothing is lost.
#[test]
fn name_with_one_version_is_no_failure_and_the_other_is_found_when_it_comes() {
    for mode in [Mode::Tiers, Mode::Every] {
        let mut net = Net::new(mode, &[&["udp://t.example:1"]]);
        named(&mut net, &[V4]);
        net.tracker("127.0.1.1:1");
        net.tracker("[::9]:1");
        net.start();
        net.run_until(1_000);
        named(&mut net, &[V4, V6]);
        net.run_until(4_000);
        named(&mut net, &[V6]);
        net.run_until(8_000);
        let v4 = [(0, Started), (1_800, Regular), (3_600, Regular)];
        assert_eq!(announces(&net, Family::V4), v4, "{mode:?}");
        let v6 = [
            (1_800, Started),
            (3_600, Regular),
            (5_400, Regular),
            (7_200, Regular),
        ];
        assert_eq!(announces(&net, Family::V6), v6, "{mode:?}");
        assert!(failures(&net).is_empty(), "{:?}", failures(&net));
    }
}

#[test]
fn name_without_an_address_fails_once_for_both_versions() {
    for mode in [Mode::Tiers, Mode::Every] {
        let mut net = Net::new(mode, &[&["udp://t.example:1"]]);
        net.start();
        net.run_until(100);
        named(&mut net, &[V4, V6]);
        net.tracker("127.0.1.1:1");
        net.tracker("[::9]:1");
        net.run_until(300);
        let failed = |at| (at, TrackerFailure::NameNotFound, true);
        assert_eq!(failures(&net), [failed(0), failed(30), failed(90)]);
        assert_eq!(announces(&net, Family::V4), [(210, Started)], "{mode:?}");
        assert_eq!(announces(&net, Family::V6), [(210, Started)], "{mode:?}");
    }
}

#[test]
fn completion_and_farewell_are_told_over_both_versions() {
    for (mode, url) in modes_and_urls() {
        let mut net = Net::new(mode, &[&[url]]);
        named(&mut net, &[V4, V6]);
        net.tracker(&on_v4(url));
        net.tracker(&on_v6(url));
        net.start();
        net.run_until(10);
        net.call(|announcer, now| announcer.complete(now));
        net.run_until(20);
        net.call(|announcer, now| announcer.stop(now));
        net.run_until(20);
        let expected = [(0, Started), (10, Completed), (20, Stopped)];
        assert_eq!(announces(&net, Family::V4), expected, "{mode:?} {url}");
        assert_eq!(announces(&net, Family::V6), expected, "{mode:?} {url}");
        assert!(net.announcer.is_stopped());
    }
}

/// Completion comes while one version hangs: the other hears of it at once, and that one when it
/// answers at last.
#[test]
fn version_that_answers_late_hears_of_the_completion_too() {
    for mode in [Mode::Tiers, Mode::Every] {
        let mut net = Net::new(mode, &[&["udp://t.example:1"]]);
        named(&mut net, &[V4, V6]);
        net.tracker("127.0.1.1:1");
        net.hosts.insert(addr("[::9]:1"), Host::Silent);
        net.start();
        net.run_until(5);
        net.call(|announcer, now| announcer.complete(now));
        assert_eq!(announces(&net, Family::V4), [(0, Started), (5, Completed)]);
        net.tracker("[::9]:1");
        net.run_until(100);
        let v6 = [(15, Started), (15, Completed)];
        assert_eq!(announces(&net, Family::V6), v6, "{mode:?}");
        assert_eq!(announces(&net, Family::V4).len(), 2, "{mode:?}");
    }
}

#[test]
fn version_that_says_never_is_not_asked_again_and_the_other_is() {
    for mode in [Mode::Tiers, Mode::Every] {
        let url = "http://t.example/announce";
        let mut net = Net::new(mode, &[&[url]]);
        named(&mut net, &[V4, V6]);
        net.fixed(&on_v4(url), "d14:failure reason2:no8:retry in5:nevere");
        net.tracker(&on_v6(url));
        net.start();
        net.run_until(4_000);
        let why = TrackerFailure::Refused {
            reason: "no".to_owned(),
            retry_in: Some(RetryIn::Never),
        };
        assert_eq!(failures(&net), [(0, why, false)], "{mode:?}");
        assert_eq!(announces(&net, Family::V6).len(), 3, "{mode:?}");
        let state = net.announcer.tracker(0).unwrap();
        assert!(!state.given_up && state.sides[0].given_up && !state.sides[1].given_up);
    }
}

/// A redirect keeps to the version, so that no address is announced to twice.
#[test]
fn redirect_is_followed_over_each_version_by_itself() {
    let url = "http://t.example/announce";
    let mut net = Net::new(Mode::Every, &[&[url]]);
    named(&mut net, &[V4, V6]);
    let both = ["127.0.1.7", "::7"].map(|ip| ip.parse().unwrap());
    net.names.insert("u.example".to_owned(), both.to_vec());
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://u.example/announce\r\n\r\n";
    for at in [on_v4(url), on_v6(url)] {
        net.hosts.insert(addr(&at), Host::Says(moved.to_vec()));
    }
    net.tracker("127.0.1.7:80");
    net.tracker("[::7]:80");
    net.start();
    net.run_until(10);
    assert_eq!(announces(&net, Family::V4), [(0, Started)]);
    assert_eq!(announces(&net, Family::V6), [(0, Started)]);
    let to: Vec<SocketAddr> = net.sent.iter().map(|(remote, _)| *remote).collect();
    assert_eq!(to.len(), 4, "{to:?}");
}

/// Who can send over one version only has one side; an address in place of a name is one, too.
#[test]
fn one_version_is_asked_where_there_is_one() {
    let mut net = Net::new(Mode::Every, &[&["udp://t.example:1", "udp://[::8]:1"]]);
    net.config.families = vec![Family::V6];
    named(&mut net, &[V4, V6]);
    net.tracker("127.0.1.1:1");
    net.tracker("[::9]:1");
    net.tracker("[::8]:1");
    net.start();
    net.run_until(10);
    assert_eq!(announces(&net, Family::V4), []);
    assert_eq!(announces(&net, Family::V6).len(), 2);
    let sides: Vec<usize> = net.announcer.trackers().map(|t| t.sides.len()).collect();
    assert_eq!(sides, [1, 1]);
}

/// Some resolvers give IPv4 addresses in the clothes of IPv6. Such an address is asked over IPv4,
/// once, and its list is read as one of IPv4.
#[test]
fn mapped_address_is_an_address_of_ipv4() {
    let mut net = Net::new(Mode::Every, &[&["udp://t.example:1"]]);
    named(&mut net, &["::ffff:127.0.1.1"]);
    net.tracker("127.0.1.1:1");
    net.start();
    net.run_until(10);
    assert_eq!(announces(&net, Family::V4), [(0, Started)]);
    assert!(failures(&net).is_empty());
}

/// Nobody takes up what happened: the oldest is dropped, and memory does not grow.
#[test]
fn events_that_nobody_polls_are_limited() {
    let urls: Vec<String> = (0..TRACKERS_MAX)
        .map(|n| format!("http://t{n}.example/announce"))
        .collect();
    let config = Net::new(Mode::Every, &[]).config;
    let mut announcer = Announcer::new(config, &[urls], Rng::new(1));
    let ips: [IpAddr; 2] = [V4, V6].map(|ip| ip.parse().unwrap());
    announcer.start(Moment::ZERO);
    for _ in 0..8 {
        let (now, _) = announcer.poll_timeout().unwrap();
        while let Some(ask) = announcer.poll_ask() {
            match ask {
                Ask::Resolve { query, .. } => announcer.handle_resolved(query, &ips, now),
                Ask::Connect { conn, .. } => {
                    announcer.handle_failed(conn, NoConnection::Refused, now);
                }
                Ask::Send { .. } | Ask::Close { .. } | Ask::SendTo { .. } => {}
            }
        }
        announcer.handle_timeout(now);
    }
    let mut events = 0;
    while announcer.poll_event().is_some() {
        events += 1;
    }
    assert_eq!(events, EVENTS_MAX);
}

fn modes_and_urls() -> impl Iterator<Item = (Mode, &'static str)> {
    let urls = ["udp://t.example:1", "http://t.example/announce"];
    [Mode::Tiers, Mode::Every]
        .into_iter()
        .flat_map(move |mode| urls.map(|url| (mode, url)))
}

fn port(url: &str) -> u16 {
    if url.starts_with("udp") { 1 } else { 80 }
}

fn on_v4(url: &str) -> String {
    format!("{V4}:{}", port(url))
}

fn on_v6(url: &str) -> String {
    format!("[{V6}]:{}", port(url))
}

fn named(net: &mut Net, ips: &[&str]) {
    let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    net.names.insert("t.example".to_owned(), ips);
}

/// When the trackers answered over one version, and to what.
fn announces(net: &Net, family: Family) -> Vec<(u64, AnnounceEvent)> {
    let of = |(at, event): &(u64, Event)| match event {
        Event::Announced { remote, event, .. } if Family::of(remote.ip()) == family => {
            Some((*at, *event))
        }
        Event::Announced { .. } | Event::Redirected { .. } | Event::Failed { .. } => None,
    };
    net.log.iter().filter_map(of).collect()
}

fn failures(net: &Net) -> Vec<(u64, TrackerFailure, bool)> {
    let of = |(at, event): &(u64, Event)| match event {
        Event::Failed { why, wholly, .. } => Some((*at, why.clone(), *wholly)),
        Event::Announced { .. } | Event::Redirected { .. } => None,
    };
    net.log.iter().filter_map(of).collect()
}

/// The announces that were sent over one version, of either transport.
fn requests(net: &Net, family: Family) -> Vec<AnnounceRequest> {
    let read = |bytes: &[u8]| match Request::decode(bytes) {
        Ok(Request::Announce { announce, .. }) => Some(announce),
        Ok(Request::Connect { .. } | Request::Scrape { .. }) => None,
        Err(_) => {
            let request = parse_request(bytes).unwrap().expect("a whole request");
            Some(parse_announce(request.path_and_query().1).unwrap())
        }
    };
    let sent = net
        .sent
        .iter()
        .filter(|(to, _)| Family::of(to.ip()) == family);
    sent.filter_map(|(_, bytes)| read(bytes)).collect()
}
