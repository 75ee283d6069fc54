use std::net::Ipv4Addr;

use super::*;

fn ip(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
}

#[test]
fn an_address_is_forbidden_when_it_sent_too_much_and_allowed_again_in_time() {
    let mut allowance = Allowance::default();
    let now = Moment::from_secs(10);
    assert_eq!(allowance.unasked(ip(1), UNASKED_PER_ADDR_MAX, now), None);
    assert_eq!(allowance.forbids(ip(1), now), None);
    let exceeded = Some(("UNASKED_PER_ADDR_MAX", UNASKED_PER_ADDR_MAX));
    assert_eq!(allowance.unasked(ip(1), 200 * 1024, now), exceeded);
    assert_eq!(allowance.forbids(ip(1), Moment::from_secs(11)), exceeded);
    assert_eq!(allowance.forbids(ip(2), now), None);
    assert_eq!(allowance.forbids(ip(1), Moment::from_secs(12)), None);
    // Small parts drain as fast as large ones.
    let mut left = 0;
    for ms in 12_000..13_000 {
        let addr = allowance
            .addr(ip(1), Moment::from_millis(ms))
            .expect("room");
        left = addr
            .unasked
            .add(0, ADDR_NANOS_PER_BYTE, Moment::from_millis(ms));
    }
    let drained = UNASKED_PER_ADDR_MAX + 200 * 1024 - left;
    let rate = UNASKED_PER_ADDR_PER_SEC;
    assert!(
        (rate * 29 / 10..=rate * 3 + 200).contains(&drained),
        "{drained}"
    );
}

#[test]
fn everybody_together_has_a_limit() {
    let mut allowance = Allowance::default();
    let now = Moment::from_secs(1);
    for n in 0..4 {
        let part = UNASKED_PER_RUN_MAX / 4;
        assert_eq!(allowance.unasked(ip(n), part, now), None);
    }
    let exceeded = Some(("UNASKED_PER_RUN_MAX", UNASKED_PER_RUN_MAX));
    assert_eq!(allowance.unasked(ip(9), 1, now), exceeded);
    assert_eq!(allowance.forbids(ip(10), now), exceeded);
    assert_eq!(allowance.forbids(ip(10), Moment::from_secs(2)), None);
}

#[test]
fn faults_are_forgiven_one_by_one() {
    let mut allowance = Allowance::default();
    let now = Moment::from_secs(1);
    for _ in 0..FAULTS_PER_ADDR_MAX {
        assert_eq!(allowance.forbids(ip(1), now), None);
        allowance.fault(ip(1), now);
    }
    let exceeded = Some(("FAULTS_PER_ADDR_MAX", FAULTS_PER_ADDR_MAX));
    assert_eq!(allowance.forbids(ip(1), now), exceeded);
    assert_eq!(allowance.forbids_visit(ip(1), now), None);
    let later = Moment::from_secs(1 + FAULT_PAUSE_SECS);
    assert_eq!(allowance.forbids(ip(1), later), None);
    allowance.fault(ip(1), later);
    assert_eq!(allowance.forbids(ip(1), later), exceeded);
}

#[test]
fn accounts_are_kept_of_so_many_addresses_and_those_that_are_empty_make_way() {
    let mut allowance = Allowance::default();
    let now = Moment::from_secs(1);
    for n in 0..ADDRS_ACCOUNTED_MAX as u32 {
        assert_eq!(allowance.unasked(ip(n), 1, now), None);
    }
    assert_eq!(allowance.unasked(ip(u32::MAX >> 9), 1, now), None);
    assert_eq!(allowance.addrs.len(), ADDRS_ACCOUNTED_MAX);
    let later = Moment::from_secs(3);
    assert_eq!(allowance.unasked(ip(u32::MAX >> 9), 1, later), None);
    assert_eq!(allowance.addrs.len(), 1);
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let at = |text: &str| accounted(text.parse().expect("an address"));
    assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
    assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
    assert_eq!(at("::ffff:10.0.0.1"), ip(1));
    assert_ne!(at("10.0.0.2"), ip(1));
}

/// Fifty peers of an address whose sets have 256 KiB, each visited every two minutes for a day.
#[test]
fn many_peers_behind_one_address_stay_within_it() {
    let mut allowance = Allowance::default();
    for visit in 0..720 {
        for peer in 0..50 {
            let now = Moment::from_secs(visit * 120 + peer / 10);
            assert_eq!(allowance.unasked(ip(1), 256 * 1024 + 200, now), None);
        }
    }
}
