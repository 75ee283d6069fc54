//! Scenarios: who is in a swarm, from when to when, and what each does.

use std::time::Duration;

use skep_net::observe::ObservePlan;
use skep_proto::rng::Rng;

use crate::hostile::Kind;

/// A swarm and how it is watched. The seed decides the content and when who comes and goes.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// Size of the content in bytes.
    pub size: usize,
    /// Length of a piece in bytes.
    pub piece_len: u32,
    /// How long the observer watches.
    pub watch: Duration,
    /// The actors.
    pub cast: Vec<Part>,
    /// The observer's plan.
    pub plan: ObservePlan,
}

/// An actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in the truth log.
    pub name: String,
    /// The number of its address. Parts with one number share one address.
    pub home: u8,
    /// What it does.
    pub deed: Deed,
}

/// What an actor does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Has everything and shares it, from before the observation until after it.
    Seeds {
        /// Bytes sent a second, at most.
        upload: u64,
    },
    /// Fetches and shares.
    Fetches {
        /// Bytes sent a second, at most.
        upload: u64,
        /// Bytes received a second, at most.
        download: u64,
        /// When it is there.
        stays: Vec<Stay>,
    },
    /// Hostile, from before the observation until after it.
    Hostile(Kind),
}

/// A stay, counted from the beginning of the observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// From here.
    pub from: Duration,
    /// To here; `None` is to the end.
    pub to: Option<Duration>,
}

/// The name of the seeder in every scenario of this file.
pub const SEEDER: &str = "seeder";

/// The shortest observation of the demo: an honest peer must be able to stay for 20 s.
pub const DEMO_SECS_MIN: u32 = 24;

/// The longest, so that the demo ends within a minute.
pub const DEMO_SECS_MAX: u32 = 45;

impl Scenario {
    /// The demo: a tracker, a seeder, seven downloaders that come and go (one leaves and comes
    /// back, one shares its address with a liar), and one hostile actor of every kind.
    pub fn demo(seed: u64, secs: u32) -> Self {
        let mut rng = Rng::new(seed);
        let watch = Duration::from_secs(u64::from(secs));
        // A stay begins and ends up to a second later than planned, as the seed decides.
        let mut at = |share: f64| {
            let jitter = Duration::from_millis(rng.below(1_000));
            watch.mul_f64(share) + jitter
        };
        let size: usize = 4 << 20;
        // A downloader needs three quarters of the time to fetch everything.
        let download = size as u64 * 4 / (3 * u64::from(secs.max(1)));
        let stays = [
            vec![Stay {
                from: Duration::ZERO,
                to: None,
            }],
            vec![Stay {
                from: Duration::ZERO,
                to: None,
            }],
            vec![Stay {
                from: at(0.03),
                to: None,
            }],
            vec![Stay {
                from: at(0.1),
                to: Some(at(0.8)),
            }],
            vec![Stay {
                from: at(0.2),
                to: Some(at(0.45)),
            }],
            vec![
                Stay {
                    from: at(0.0),
                    to: Some(at(0.3)),
                },
                Stay {
                    from: at(0.55),
                    to: None,
                },
            ],
            vec![Stay {
                from: at(0.05),
                to: None,
            }],
        ];
        let mut cast = vec![Part {
            name: SEEDER.to_owned(),
            home: 0,
            deed: Deed::Seeds {
                upload: 3 * download,
            },
        }];
        for (number, stays) in (1u8..).zip(stays) {
            cast.push(Part {
                name: format!("downloader-{number}"),
                home: number,
                deed: Deed::Fetches {
                    upload: download,
                    download,
                    stays,
                },
            });
        }
        let neighbour = cast.last().map_or(0, |part| part.home);
        for (number, kind) in (0u8..).zip(Kind::ALL) {
            // The one that claims everything lives behind the address of an honest downloader.
            let home = if kind == Kind::ClaimsAll {
                neighbour
            } else {
                100 + number
            };
            cast.push(Part {
                name: kind.name().to_owned(),
                home,
                deed: Deed::Hostile(kind),
            });
        }
        Self {
            seed,
            size,
            piece_len: 32 << 10,
            watch,
            cast,
            plan: demo_plan(),
        }
    }
}

/// The observer's plan where half a minute stands for hours: short visits, short pauses.
fn demo_plan() -> ObservePlan {
    ObservePlan {
        pieces_per_visit: 4,
        whole: true,
        revisit: Duration::from_secs(2),
        visit: Duration::from_secs(12),
        connect: Duration::from_secs(2),
        announce: Duration::from_secs(3),
        ..ObservePlan::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_demo_has_the_company_that_it_promises() {
        for seed in 0..100 {
            let scenario = Scenario::demo(seed, 32);
            let fetching = |part: &&Part| matches!(part.deed, Deed::Fetches { .. });
            assert!(scenario.cast.iter().filter(fetching).count() >= 6);
            let names: BTreeSet<_> = scenario.cast.iter().map(|part| &part.name).collect();
            assert_eq!(names.len(), scenario.cast.len());
            for kind in Kind::ALL {
                assert!(
                    scenario
                        .cast
                        .iter()
                        .any(|part| part.deed == Deed::Hostile(kind))
                );
            }
            let shared = scenario
                .cast
                .iter()
                .find(|part| part.name == "claims-all")
                .unwrap()
                .home;
            assert_eq!(
                scenario
                    .cast
                    .iter()
                    .filter(|part| part.home == shared)
                    .count(),
                2
            );
            for part in &scenario.cast {
                if let Deed::Fetches { stays, .. } = &part.deed {
                    let mut last = Duration::ZERO;
                    for stay in stays {
                        let to = stay.to.unwrap_or(scenario.watch);
                        assert!(last <= stay.from && stay.from < to && to <= scenario.watch);
                        last = to;
                    }
                }
            }
        }
    }
}
