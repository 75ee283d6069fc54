//! Who may fetch from us: tit for tat while we fetch ourselves, in turn once we have everything
//! (BEP 3, "Choking and optimistic unchoking").
//!
//! While we fetch, the slots go to the interested peers that gave us most over the last twenty
//! seconds, and one, the optimistic, to a peer drawn by lot that changes every third round, so that
//! newcomers and better partners are found. Once we have everything, the fastest of those that are
//! being served keep their slots for a minute, then those that have waited longest get them.

use std::time::Duration;

use skep_wire::Moment;

use super::{CHOKE_SECS, NEWCOMER_SECS, OPTIMISTIC_ROUNDS, PeerKey, SEED_TURN_SECS};
use crate::rng::Rng;

/// The rounds of one torrent.
#[derive(Debug)]
pub(super) struct Choker {
    next_at: Moment,
    round: u32,
    optimistic: Option<PeerKey>,
}

/// An interested peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contender {
    pub(super) peer: PeerKey,
    pub(super) opened_at: Moment,
    /// Whether we let it fetch, and since when that is as it is.
    pub(super) unchoked: bool,
    pub(super) turned_at: Moment,
    /// What it gave us, bytes a second; nothing if it owes us blocks and is silent.
    pub(super) gave: u64,
    /// What it takes, bytes a second.
    pub(super) takes: u64,
}

/// What decides the order of contenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// By what they gave.
    Fetching,
    /// By turns.
    Serving,
}

impl Choker {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            next_at: now + Duration::from_secs(CHOKE_SECS),
            round: 0,
            optimistic: None,
        }
    }

    /// Whether the time for a round has come.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.next_at <= now
    }

    /// Decides anew who may fetch. Peers that are not interested hold no slot.
    pub(super) fn round(
        &mut self,
        contenders: &[Contender],
        slots: usize,
        mode: Mode,
        rng: &mut Rng,
        now: Moment,
    ) -> Vec<PeerKey> {
        self.next_at = now + Duration::from_secs(CHOKE_SECS);
        self.round = self.round.wrapping_add(1);
        let mut chosen: Vec<Contender> = contenders.to_vec();
        match mode {
            Mode::Fetching => chosen.sort_by_key(|c| (std::cmp::Reverse(c.gave), c.peer)),
            Mode::Serving => chosen.sort_by_key(|c| turn(c, now)),
        }
        if slots == 0 || contenders.len() <= slots {
            chosen.truncate(slots);
            return chosen.iter().map(|c| c.peer).collect();
        }
        let rest = chosen.split_off(slots - 1);
        let stays = |key: &PeerKey| rest.iter().any(|c| c.peer == *key);
        self.optimistic = self.optimistic.filter(stays);
        if self.optimistic.is_none() || self.round.is_multiple_of(OPTIMISTIC_ROUNDS) {
            self.optimistic = match mode {
                Mode::Fetching => draw(&rest, self.optimistic, rng, now),
                Mode::Serving => rest.first().map(|c| c.peer),
            };
        }
        chosen
            .iter()
            .map(|c| c.peer)
            .chain(self.optimistic)
            .collect()
    }

    /// Fills free slots at once, without waiting for the round: returns who else may fetch.
    pub(super) fn fill(
        &self,
        contenders: &[Contender],
        slots: usize,
        rng: &mut Rng,
    ) -> Vec<PeerKey> {
        let used = contenders.iter().filter(|c| c.unchoked).count();
        let mut waiting: Vec<PeerKey> = contenders
            .iter()
            .filter(|c| !c.unchoked)
            .map(|c| c.peer)
            .collect();
        let free = slots.saturating_sub(used);
        if waiting.len() > free {
            rng.shuffle(&mut waiting);
            waiting.truncate(free);
        }
        waiting
    }
}

/// Order when serving: those in their turn by what they take, then who waits longest, then those
/// whose turn is over.
fn turn(c: &Contender, now: Moment) -> (u8, u64, PeerKey) {
    let in_turn = now < c.turned_at + Duration::from_secs(SEED_TURN_SECS);
    match (c.unchoked, in_turn) {
        (true, true) => (0, u64::MAX - c.takes, c.peer),
        (false, _) => (1, c.turned_at.0, c.peer),
        (true, false) => (2, c.turned_at.0, c.peer),
    }
}

/// Draws the optimistic unchoke; another than the last if there is one.
fn draw(rest: &[Contender], last: Option<PeerKey>, rng: &mut Rng, now: Moment) -> Option<PeerKey> {
    let others = rest.iter().filter(|c| Some(c.peer) != last);
    let lots: Vec<PeerKey> = others
        .flat_map(|c| {
            let newcomer = now < c.opened_at + Duration::from_secs(NEWCOMER_SECS);
            std::iter::repeat_n(c.peer, if newcomer { 3 } else { 1 })
        })
        .collect();
    rng.choose(&lots).copied().or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(n: u64) -> Contender {
        Contender {
            peer: PeerKey(n),
            opened_at: Moment::ZERO,
            unchoked: false,
            turned_at: Moment::ZERO,
            gave: 0,
            takes: 0,
        }
    }

    #[test]
    fn those_who_give_most_get_the_slots_and_the_optimistic_one_changes_every_third_round() {
        let peers: Vec<Contender> = (0..20)
            .map(|n| Contender {
                gave: n * 100,
                ..contender(n)
            })
            .collect();
        let (mut choker, mut rng) = (Choker::new(Moment::ZERO), Rng::new(1));
        let mut lots = Vec::new();
        for round in 1..=30 {
            let now = Moment::from_secs(1000 + round * CHOKE_SECS);
            let chosen = choker.round(&peers, 5, Mode::Fetching, &mut rng, now);
            assert_eq!(chosen[..4], [19, 18, 17, 16].map(PeerKey));
            assert!(chosen.len() == 5 && chosen[4] < PeerKey(16));
            lots.push(chosen[4]);
        }
        for (at, pair) in lots.windows(2).enumerate() {
            let changes = (at as u32 + 2).is_multiple_of(OPTIMISTIC_ROUNDS);
            assert_eq!(pair[0] != pair[1], changes, "round {}", at + 2);
        }
    }

    #[test]
    fn newcomers_are_drawn_three_times_as_often() {
        let now = Moment::from_secs(1000);
        let new = Contender {
            opened_at: Moment::from_secs(990),
            ..contender(1)
        };
        let mut rng = Rng::new(5);
        let drawn = (0..4000)
            .filter(|_| draw(&[contender(0), new], None, &mut rng, now) == Some(PeerKey(1)))
            .count();
        assert!((2850..3150).contains(&drawn), "{drawn}");
    }

    /// Twenty peers that take equally, five slots: within twenty minutes everyone has had turns,
    /// and nobody more than twice as many as another.
    #[test]
    fn once_complete_everyone_gets_a_turn() {
        let mut peers: Vec<Contender> = (0..20).map(contender).collect();
        let (mut choker, mut rng) = (Choker::new(Moment::ZERO), Rng::new(1));
        let mut served = [0u32; 20];
        for round in 1..=120 {
            let now = Moment::from_secs(round * CHOKE_SECS);
            let chosen = choker.round(&peers, 5, Mode::Serving, &mut rng, now);
            assert_eq!(chosen.len(), 5);
            for peer in &mut peers {
                let unchoked = chosen.contains(&peer.peer);
                served[peer.peer.0 as usize] += u32::from(unchoked);
                if unchoked != peer.unchoked {
                    (peer.unchoked, peer.turned_at) = (unchoked, now);
                }
            }
        }
        let (least, most) = (served.iter().min(), served.iter().max());
        assert!(least >= Some(&15) && most <= Some(&45), "{served:?}");
    }

    #[test]
    fn free_slots_are_filled_at_once_and_no_slot_means_nobody() {
        let peers: Vec<Contender> = (0..9)
            .map(|n| Contender {
                unchoked: n < 2,
                ..contender(n)
            })
            .collect();
        let mut choker = Choker::new(Moment::ZERO);
        assert_eq!(choker.fill(&peers, 5, &mut Rng::new(1)).len(), 3);
        assert_eq!(choker.fill(&peers, 2, &mut Rng::new(1)), []);
        let none = choker.round(&peers, 0, Mode::Fetching, &mut Rng::new(1), Moment::ZERO);
        assert_eq!(none, []);
    }
}
