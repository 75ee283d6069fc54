//! One torrent at its trackers, in virtual time, against the real tracker machine and hostile ones.
#![allow(clippy::unwrap_used)]

mod families;
mod net;

use std::time::Duration;

use skep_proto::tracker::client::{
    AddrChoice, CONNECT_TIME_MAX, Event, Mode, NoConnection, TRACKER_TIME_MAX, TRACKERS_MAX,
    TrackerFailure,
};
use skep_wire::{
    http::UrlError,
    tracker::{AnnounceEvent, Family, http::RetryIn},
};

use AnnounceEvent::{Completed, Regular, Started, Stopped};
use net::{Host, Net, addr};

/// The first tier's tracker answers, so the second is never asked (BEP 12).
#[test]
fn first_tracker_that_answers_is_enough_for_the_engine() {
    let mut net = Net::new(
        Mode::Tiers,
        &[&["udp://127.0.1.1:1"], &["http://127.0.1.2/announce"]],
    );
    net.tracker("127.0.1.1:1");
    net.tracker("127.0.1.2:80");
    net.start();
    net.run_until(4_000);
    assert_eq!(
        net.announces(0),
        [(0, Started), (1_800, Regular), (3_600, Regular)]
    );
    assert_eq!(net.announces(1), []);
}

/// A dead tracker is tried first on every announce, the next tier answers each time.
#[test]
fn next_tier_is_asked_where_the_first_fails() {
    let mut net = Net::new(
        Mode::Tiers,
        &[&["http://127.0.1.1/announce"], &["udp://127.0.1.2:1"]],
    );
    net.hosts.insert(addr("127.0.1.1:80"), Host::Refuses);
    net.tracker("127.0.1.2:1");
    net.start();
    net.run_until(2_000);
    assert_eq!(net.announces(1), [(0, Started), (1_800, Regular)]);
    let refused = TrackerFailure::NotConnected(NoConnection::Refused);
    assert_eq!(net.failures(0), [(0, refused.clone()), (1_800, refused)]);
}

/// A silent UDP tracker costs 105 s, then the next one is asked.
#[test]
fn silent_tracker_is_left_for_the_next_one() {
    let mut net = Net::new(
        Mode::Tiers,
        &[&["udp://127.0.1.1:1"], &["udp://127.0.1.2:1"]],
    );
    net.hosts.insert(addr("127.0.1.1:1"), Host::Silent);
    net.tracker("127.0.1.2:1");
    net.start();
    net.run_until(200);
    assert_eq!(
        net.failures(0),
        [(105, TrackerFailure::TimedOut { secs: 105 })]
    );
    assert_eq!(net.announces(1), [(105, Started)]);
}

/// A tracker whose every address and every redirect takes what time it may does not keep the next
/// one from being asked for longer than the limit.
#[test]
fn tracker_that_wastes_time_wherever_it_can_is_left_for_the_next_one() {
    let tiers: &[&[&str]] = &[&["udp://slow.example:1"], &["udp://127.0.1.2:1"]];
    for addr_choice in [AddrChoice::EachFamily, AddrChoice::FirstThatAnswers] {
        let mut net = Net::new(Mode::Tiers, tiers);
        net.config.addr_choice = addr_choice;
        let ips = ["127.0.2.1", "127.0.2.2", "127.0.2.3", "::3", "::4"];
        let ips = ips.map(|ip| ip.parse().unwrap());
        net.names.insert("slow.example".to_owned(), ips.to_vec());
        net.tracker("127.0.1.2:1");
        net.start();
        net.run_until(1_000);
        let secs = TRACKER_TIME_MAX.as_secs();
        assert_eq!(net.announces(1), [(secs, Started)], "{addr_choice:?}");
        let timed_out = (secs, TrackerFailure::TimedOut { secs });
        assert!(net.failures(0).iter().all(|failure| *failure == timed_out));
    }
    let mut net = Net::new(
        Mode::Tiers,
        &[&["http://127.0.1.1/announce"], &["udp://127.0.1.2:1"]],
    );
    net.hosts
        .insert(addr("127.0.1.1:80"), Host::Redirects { after_secs: 50 });
    net.tracker("127.0.1.2:1");
    net.start();
    net.run_until(1_000);
    let secs = TRACKER_TIME_MAX.as_secs();
    assert_eq!(net.failures(0), [(secs, TrackerFailure::TimedOut { secs })]);
    assert_eq!(net.announces(1), [(secs, Started)]);
    assert!(net.conns.is_empty(), "the connection is closed");
}

#[test]
fn every_tracker_is_asked_by_itself_for_the_observer() {
    let mut net = Net::new(
        Mode::Every,
        &[
            &["udp://127.0.1.1:1", "udp://127.0.1.2:1"],
            &["http://127.0.1.3/announce"],
        ],
    );
    net.tracker("127.0.1.1:1");
    net.hosts.insert(addr("127.0.1.2:1"), Host::Silent);
    net.tracker("127.0.1.3:80");
    net.start();
    net.run_until(2_000);
    assert_eq!(net.announces(0), [(0, Started), (1_800, Regular)]);
    assert_eq!(net.announces(2), [(0, Started), (1_800, Regular)]);
    // 105 s each, and between them 30, 60, 120, 240 s and so on.
    let at: Vec<u64> = net.failures(1).iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [105, 240, 405, 630, 975, 1_560]);
}

#[test]
fn failing_tracker_is_retried_ever_more_seldom_up_to_an_hour() {
    let mut net = Net::new(Mode::Every, &[&["http://127.0.1.1/announce"]]);
    net.hosts.insert(addr("127.0.1.1:80"), Host::Refuses);
    net.start();
    net.run_until(20_000);
    let at: Vec<u64> = net.failures(0).iter().map(|(at, _)| *at).collect();
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(
        gaps,
        [
            30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600
        ]
    );
}

/// In tiers it is the whole list that is tried again, ever more seldom.
#[test]
fn list_that_fails_is_retried_ever_more_seldom() {
    let mut net = Net::new(
        Mode::Tiers,
        &[
            &["http://127.0.1.1/announce"],
            &["http://127.0.1.2/announce"],
        ],
    );
    net.hosts.insert(addr("127.0.1.1:80"), Host::Refuses);
    net.hosts.insert(addr("127.0.1.2:80"), Host::Refuses);
    net.start();
    net.run_until(500);
    for tracker in [0, 1] {
        let at: Vec<u64> = net.failures(tracker).iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 30, 90, 210, 450]);
    }
}

#[test]
fn wished_interval_is_kept_unless_the_tracker_asks_for_longer() {
    // Over HTTP the tracker names a minimum (15 s here); over UDP its interval is all there is.
    let mut net = Net::new(
        Mode::Every,
        &[&["http://127.0.1.1/announce", "udp://127.0.1.2:1"]],
    );
    net.config.announce_every = Some(Duration::from_secs(10));
    net.tracker_with("127.0.1.1:80", 30);
    net.tracker_with("127.0.1.2:1", 30);
    net.start();
    net.run_until(100);
    let at = |net: &Net, tracker| {
        net.announces(tracker)
            .iter()
            .map(|(at, _)| *at)
            .collect::<Vec<_>>()
    };
    assert_eq!(at(&net, 0), [0, 30, 60, 90]);
    assert_eq!(at(&net, 1), [0, 30, 60, 90]);
    let mut net = Net::new(Mode::Every, &[&["http://127.0.1.1/announce"]]);
    net.config.announce_every = Some(Duration::from_secs(10));
    net.fixed(
        "127.0.1.1:80",
        "d8:intervali1800e12:min intervali20e5:peers0:e",
    );
    net.start();
    net.run_until(100);
    assert_eq!(at(&net, 0), [0, 20, 40, 60, 80, 100]);
}

#[test]
fn completion_is_told_at_once_and_only_to_trackers_that_know_us() {
    let mut net = Net::new(
        Mode::Every,
        &[&["udp://127.0.1.1:1", "http://127.0.1.2/announce"]],
    );
    net.tracker("127.0.1.1:1");
    net.hosts.insert(addr("127.0.1.2:80"), Host::Refuses);
    net.start();
    net.run_until(10);
    net.hosts.clear();
    net.tracker("127.0.1.1:1");
    net.tracker("127.0.1.2:80");
    net.call(|announcer, now| announcer.complete(now));
    net.run_until(40);
    assert_eq!(net.announces(0), [(0, Started), (10, Completed)]);
    assert_eq!(net.announces(1)[0], (10, Started));
    // Twice is once.
    net.call(|announcer, now| announcer.complete(now));
    net.run_until(100);
    assert_eq!(net.announces(0).len(), 2);
}

#[test]
fn more_peers_are_asked_for_as_soon_as_the_minimum_allows() {
    for mode in [Mode::Every, Mode::Tiers] {
        let mut net = Net::new(mode, &[&["http://127.0.1.1/announce"]]);
        net.fixed(
            "127.0.1.1:80",
            "d8:intervali1800e12:min intervali60e5:peers0:e",
        );
        net.start();
        net.run_until(10);
        net.call(|announcer, now| announcer.announce_soon(now));
        net.run_until(100);
        assert_eq!(net.announces(0), [(0, Started), (60, Regular)], "{mode:?}");
    }
}

#[test]
fn farewell_goes_to_every_tracker_that_knows_us_and_to_no_other() {
    let mut net = Net::new(
        Mode::Every,
        &[&[
            "udp://127.0.1.1:1",
            "http://127.0.1.2/announce",
            "http://127.0.1.3/announce",
        ]],
    );
    net.tracker("127.0.1.1:1");
    net.tracker("127.0.1.2:80");
    net.hosts.insert(addr("127.0.1.3:80"), Host::Refuses);
    net.start();
    net.run_until(100);
    net.call(|announcer, now| announcer.stop(now));
    net.run_until(100);
    assert!(net.announcer.is_stopped());
    assert_eq!(net.announces(0), [(0, Started), (100, Stopped)]);
    assert_eq!(net.announces(1), [(0, Started), (100, Stopped)]);
    let tried: Vec<u64> = net.failures(2).iter().map(|(at, _)| *at).collect();
    assert_eq!(tried, [0, 30, 90], "no farewell is tried there");
    assert_eq!(net.announcer.poll_timeout(), None);
}

/// Trackers that went silent do not hold us up for longer than a farewell is worth.
#[test]
fn farewell_to_silent_trackers_ends_soon() {
    let mut net = Net::new(
        Mode::Every,
        &[&[
            "udp://127.0.1.1:1",
            "http://127.0.1.2/announce",
            "http://gone/announce",
        ]],
    );
    net.tracker("127.0.1.1:1");
    net.tracker("127.0.1.2:80");
    net.names
        .insert("gone".to_owned(), vec!["127.0.1.3".parse().unwrap()]);
    net.tracker("127.0.1.3:80");
    net.start();
    net.run_until(10);
    net.hosts.values_mut().for_each(|host| *host = Host::Silent);
    net.call(|announcer, now| announcer.stop(now));
    net.run_until(10 + 20);
    assert!(net.announcer.is_stopped());
    assert_eq!(net.announcer.poll_timeout(), None);
}

#[test]
fn stopping_before_anything_was_said_needs_no_farewell() {
    let mut net = Net::new(Mode::Tiers, &[&["http://nowhere/announce"]]);
    net.deaf = true;
    net.start();
    net.run_until(1);
    net.call(|announcer, now| announcer.stop(now));
    assert!(net.announcer.is_stopped());
}

#[test]
fn names_are_looked_up_and_their_addresses_tried_in_turn() {
    let mut net = Net::new(
        Mode::Every,
        &[&["http://t.example/announce", "udp://nowhere:1"]],
    );
    let ips = ["127.0.1.1", "::1", "127.0.1.2"].map(|ip| ip.parse().unwrap());
    net.names.insert("t.example".to_owned(), ips.to_vec());
    net.config.families = vec![Family::V4];
    net.hosts.insert(addr("127.0.1.1:80"), Host::Silent);
    net.tracker("127.0.1.2:80");
    net.start();
    net.run_until(29);
    assert_eq!(net.announces(0), [(CONNECT_TIME_MAX.as_secs(), Started)]);
    assert_eq!(net.failures(1), [(0, TrackerFailure::NameNotFound)]);
}

/// Without IPv6 at hand, a tracker's IPv6 address costs no time where one address is enough.
#[test]
fn address_without_a_route_is_left_at_once() {
    let mut net = Net::new(Mode::Tiers, &[&["udp://t.example:1"], &["udp://[::9]:1"]]);
    net.config.addr_choice = AddrChoice::FirstThatAnswers;
    let ips = ["::1", "127.0.1.2"].map(|ip| ip.parse().unwrap());
    net.names.insert("t.example".to_owned(), ips.to_vec());
    net.no_route = vec![addr("[::1]:1"), addr("[::9]:1")];
    net.tracker("127.0.1.2:1");
    net.start();
    net.run_until(1_799);
    assert_eq!(net.announces(0), [(0, Started)]);
    net.hosts.clear();
    net.no_route.push(addr("127.0.1.2:1"));
    net.run_until(1_801);
    let unreachable = TrackerFailure::NotConnected(NoConnection::Unreachable);
    assert_eq!(net.failures(0), [(1_800, unreachable.clone())]);
    assert_eq!(net.failures(1), [(1_800, unreachable)]);
}

/// A driver that never answers a look-up or a connect costs time, and no more.
#[test]
fn announcer_does_not_depend_on_its_drivers_answers() {
    let mut net = Net::new(
        Mode::Every,
        &[&["http://name/announce", "http://127.0.1.1/announce"]],
    );
    net.deaf = true;
    net.start();
    net.run_until(25);
    assert_eq!(net.failures(0), [(20, TrackerFailure::NameNotFound)]);
    let timed_out = TrackerFailure::NotConnected(NoConnection::TimedOut);
    assert_eq!(net.failures(1), [(16, timed_out)]);
}

#[test]
fn tracker_that_says_never_is_never_asked_again() {
    for mode in [Mode::Every, Mode::Tiers] {
        let mut net = Net::new(mode, &[&["http://127.0.1.1/announce"]]);
        net.fixed("127.0.1.1:80", "d14:failure reason2:no8:retry in5:nevere");
        net.start();
        net.run_until(100_000);
        let why = TrackerFailure::Refused {
            reason: "no".to_owned(),
            retry_in: Some(RetryIn::Never),
        };
        assert_eq!(net.failures(0), [(0, why)]);
        assert!(net.announcer.trackers().all(|tracker| tracker.given_up));
    }
}

#[test]
fn tracker_that_names_a_time_is_asked_again_then() {
    let mut net = Net::new(Mode::Every, &[&["http://127.0.1.1/announce"]]);
    net.fixed("127.0.1.1:80", "d14:failure reason2:no8:retry ini5ee");
    net.start();
    net.run_until(700);
    let at: Vec<u64> = net.failures(0).iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [0, 300, 600]);
}

#[test]
fn url_that_cannot_be_asked_is_said_once_and_left_out() {
    for mode in [Mode::Every, Mode::Tiers] {
        let mut net = Net::new(mode, &[&["https://t/announce"], &["udp://127.0.1.1:1"]]);
        net.tracker("127.0.1.1:1");
        net.start();
        net.run_until(4_000);
        let why = TrackerFailure::Url(UrlError::HttpsNotSupported);
        assert_eq!(net.failures(0), [(0, why)], "{mode:?}");
        assert_eq!(net.announces(1).len(), 3, "{mode:?}");
    }
}

#[test]
fn redirect_is_followed_and_a_circle_is_a_failure() {
    let mut net = Net::new(
        Mode::Every,
        &[&["http://127.0.1.1/announce", "http://127.0.1.3/announce"]],
    );
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n").into_bytes();
    net.hosts.insert(
        addr("127.0.1.1:80"),
        Host::Says(moved("http://127.0.1.2:8/announce")),
    );
    net.tracker("127.0.1.2:8");
    net.hosts.insert(
        addr("127.0.1.3:80"),
        Host::Says(moved("http://127.0.1.4/announce")),
    );
    net.hosts.insert(
        addr("127.0.1.4:80"),
        Host::Says(moved("http://127.0.1.3/announce")),
    );
    net.start();
    net.run_until(29);
    assert_eq!(net.announces(0), [(0, Started)]);
    let url = "http://127.0.1.3/announce".to_owned();
    assert_eq!(
        net.failures(1),
        [(0, TrackerFailure::RedirectCircle { url })]
    );
    let redirects = net
        .log
        .iter()
        .filter(|(_, event)| matches!(event, Event::Redirected { .. }));
    assert_eq!(redirects.count(), 2);
}

/// A circle whose hosts each have a dead first address ends all the same: what an exchange knows of
/// where it was survives the move from one address to the next.
#[test]
fn circle_through_dead_addresses_ends() {
    let mut net = Net::new(Mode::Every, &[&["http://a/announce"]]);
    let ips = |ips: [&str; 2]| ips.map(|ip| ip.parse().unwrap()).to_vec();
    net.names
        .insert("a".to_owned(), ips(["127.0.1.1", "127.0.1.2"]));
    net.names
        .insert("b".to_owned(), ips(["127.0.1.1", "127.0.1.3"]));
    net.hosts.insert(addr("127.0.1.1:80"), Host::Refuses);
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n").into_bytes();
    net.hosts
        .insert(addr("127.0.1.2:80"), Host::Says(moved("http://b/announce")));
    net.hosts
        .insert(addr("127.0.1.3:80"), Host::Says(moved("http://a/announce")));
    net.start();
    net.run_until(29);
    let url = "http://a/announce".to_owned();
    assert_eq!(
        net.failures(0),
        [(0, TrackerFailure::RedirectCircle { url })]
    );
}

#[test]
fn more_trackers_than_the_limit_are_not_asked() {
    let urls: Vec<String> = (0..TRACKERS_MAX + 9)
        .map(|n| format!("http://127.0.9.1/{n}"))
        .collect();
    let tiers = [urls.iter().map(String::as_str).collect::<Vec<_>>()];
    let tiers: Vec<&[&str]> = tiers.iter().map(Vec::as_slice).collect();
    let mut net = Net::new(Mode::Every, &tiers);
    net.hosts.insert(addr("127.0.9.1:80"), Host::Refuses);
    net.start();
    net.run_until(29);
    assert_eq!(net.log.len(), TRACKERS_MAX);
    assert_eq!(net.announcer.trackers().count(), TRACKERS_MAX);
}

/// What the same seed and the same answers make is the same, to the byte: replays rest on it.
#[test]
fn same_seed_makes_the_same_bytes() {
    let run = |seed| {
        let urls: &[&[&str]] = &[&[
            "udp://127.0.1.1:1",
            "udp://127.0.1.2:1",
            "http://127.0.1.3/announce",
        ]];
        let mut net = Net::new(Mode::Tiers, urls);
        net.seed = seed;
        for at in ["127.0.1.1:1", "127.0.1.2:1", "127.0.1.3:80"] {
            net.tracker(at);
        }
        net.start();
        net.run_until(10_000);
        net.asked
    };
    assert_eq!(run(4), run(4));
    assert_ne!(run(4), run(5));
}
