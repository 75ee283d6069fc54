//! A connection to or from an endpoint, from the attempt to the last record.
//!
//! ```text
//! Connecting --opened--> Talking --end--> over          (ours)
//! Unnamed --48 bytes name a swarm--> Talking --> over   (theirs)
//! ```

use std::{net::SocketAddr, time::Duration};

use skep_evidence::{
    grade::Reached,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind},
    record::{Body, CloseKind},
};
use skep_proto::peer::HANDSHAKE_SECS_MAX;
use skep_wire::{InfoHash, Moment, peer::Handshake};

use crate::{
    Env,
    action::Action,
    graded,
    stream::{Incoming, Outgoing},
    swarm::Memory,
    talk::Talk,
};

/// Seconds for which the end of a visit waits for blocks that were asked for: they are on their way,
/// and would be missing from the record of what was delivered.
pub const LINGER_SECS_MAX: u64 = 3;

/// Seconds without a block after which a piece that was begun no longer keeps a visit from ending.
pub const PIECE_PAUSE_SECS_MAX: u64 = 10;

/// Where in a handshake the info-hash ends.
const INFO_HASH_END: usize = 48;

pub(crate) struct Visit {
    pub(crate) conn: ConnId,
    /// In which swarm; `None` while an incoming connection has not said.
    pub(crate) swarm: Option<usize>,
    pub(crate) endpoint: SocketAddr,
    pub(crate) incoming: bool,
    pub(crate) memory: Memory,
    phase: Phase,
    input: Incoming,
    output: Outgoing,
    /// When the visit, or on an incoming connection the round, ends as planned.
    ends_at: Option<Moment>,
    /// How it ends as soon as nothing is on its way any more, or then.
    leaving: Option<(CloseKind, Moment)>,
}

enum Phase {
    Connecting,
    Unnamed { reached: Reached, until: Moment },
    Talking(Box<Talk>),
    Over { joined: bool },
}

impl Visit {
    /// We decided to connect.
    pub(crate) fn outgoing(
        conn: ConnId,
        swarm: usize,
        endpoint: SocketAddr,
        memory: Memory,
    ) -> Self {
        Self {
            conn,
            swarm: Some(swarm),
            endpoint,
            incoming: false,
            memory,
            phase: Phase::Connecting,
            input: Incoming::default(),
            output: Outgoing::default(),
            ends_at: None,
            leaving: None,
        }
    }

    /// A connection came in.
    pub(crate) fn incoming(reached: Reached, env: &mut Env<'_>) -> Self {
        env.notes.write(graded::reached(&reached, None));
        let until = env.notes.now + Duration::from_secs(HANDSHAKE_SECS_MAX);
        Self {
            conn: reached.conn(),
            swarm: None,
            endpoint: reached.endpoint(),
            incoming: true,
            memory: Memory::default(),
            phase: Phase::Unnamed { reached, until },
            input: Incoming::default(),
            output: Outgoing::default(),
            ends_at: None,
            leaving: None,
        }
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// Whether a visit that is over had a handshake.
    pub(crate) fn has_joined(&self) -> bool {
        match &self.phase {
            Phase::Over { joined } => *joined,
            Phase::Talking(talk) => talk.has_joined(),
            Phase::Connecting | Phase::Unnamed { .. } => false,
        }
    }

    /// Where the other end of an incoming connection can be visited, as it says, once it has
    /// delivered all that was to be asked for.
    pub(crate) fn may_be_visited_at(&self) -> Option<SocketAddr> {
        match &self.phase {
            Phase::Talking(talk) if self.incoming && talk.has_all_it_wanted() => talk.listens_at(),
            Phase::Connecting | Phase::Unnamed { .. } | Phase::Talking(_) | Phase::Over { .. } => {
                None
            }
        }
    }

    /// The connection that we asked for stands.
    pub(crate) fn opened(&mut self, reached: Reached, env: &mut Env<'_>) {
        let swarm = self.swarm.expect("we know for which swarm we connect");
        let target = env.world.swarms[swarm].index;
        env.notes.write(graded::reached(&reached, Some(target)));
        self.talk(swarm, reached, env);
        self.flush(None, env);
    }

    /// The connection that we asked for could not be made.
    pub(crate) fn failed(&mut self, reason: ConnectFailure, env: &mut Env<'_>) {
        env.notes.write(Body::AttemptFailed {
            conn: self.conn,
            reason,
        });
        self.phase = Phase::Over { joined: false };
    }

    /// Bytes came.
    pub(crate) fn received(&mut self, capture: CaptureOffset, bytes: &[u8], env: &mut Env<'_>) {
        self.input.push(capture, bytes);
        let mut fresh = bytes.len();
        if let Phase::Unnamed { reached, .. } = self.phase {
            let Some(swarm) = swarm_named_by(self.input.held(), env) else {
                return;
            };
            fresh = self.input.held().len();
            self.talk(swarm, reached, env);
        }
        let Phase::Talking(talk) = &mut self.phase else {
            return;
        };
        let end = talk.hear(&mut self.input, fresh, &mut self.memory, env);
        let end = end.or_else(|| self.left(env));
        self.flush(end, env);
    }

    /// The system took bytes of ours; `None` if they are not the next that we queued.
    pub(crate) fn sent(&mut self, bytes: &[u8]) -> Option<()> {
        self.output.sent(bytes)
    }

    /// The other end, or an error, ended the connection.
    pub(crate) fn ended(&mut self, how: EndKind, env: &mut Env<'_>) {
        self.close(CloseKind::Them(how), env);
    }

    /// Tells that time has come.
    pub(crate) fn timeout(&mut self, env: &mut Env<'_>) {
        let now = env.notes.now;
        let end = match &mut self.phase {
            Phase::Connecting | Phase::Over { .. } => return,
            Phase::Unnamed { until, .. } => (*until <= now).then_some(CloseKind::UsIdle),
            Phase::Talking(talk) => talk.timeout(&self.input, &mut self.memory, env),
        };
        let end = end.or_else(|| self.plan(env)).or_else(|| self.left(env));
        self.flush(end, env);
    }

    /// When [`Visit::timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Connecting | Phase::Over { .. } => None,
            Phase::Unnamed { until, .. } => Some(*until),
            Phase::Talking(talk) => {
                let end = self.leaving.map_or(self.ends_at, |(_, by)| Some(by));
                talk.next_timeout().into_iter().chain(end).min()
            }
        }
    }

    /// Ends the visit from our side, if it stands.
    pub(crate) fn close(&mut self, how: CloseKind, env: &mut Env<'_>) {
        let joined = self.has_joined();
        match &mut self.phase {
            Phase::Over { .. } => return,
            Phase::Connecting => {}
            Phase::Unnamed { .. } => self.note_closed(how, env),
            Phase::Talking(talk) => {
                talk.end(env);
                self.note_closed(how, env);
            }
        }
        if how == CloseKind::UsViolation && self.incoming {
            env.allowance.fault(self.endpoint.ip(), env.notes.now);
        }
        if !matches!(how, CloseKind::Them(_)) {
            env.notes.act(Action::Close { conn: self.conn });
        }
        self.phase = Phase::Over { joined };
    }

    /// Ends the visit from our side, once the blocks that were asked for have come.
    pub(crate) fn leave(&mut self, how: CloseKind, env: &mut Env<'_>) {
        if let Phase::Talking(talk) = &mut self.phase
            && talk.awaits_blocks()
        {
            talk.stop_asking();
            let by = env.notes.now + Duration::from_secs(LINGER_SECS_MAX);
            self.leaving.get_or_insert((how, by));
        } else {
            self.close(how, env);
        }
    }

    /// How a visit ends that we leave, when it may.
    fn left(&self, env: &Env<'_>) -> Option<CloseKind> {
        let (how, by) = self.leaving?;
        match &self.phase {
            Phase::Talking(talk) if talk.awaits_blocks() && env.notes.now < by => None,
            Phase::Talking(_) => Some(how),
            Phase::Connecting | Phase::Unnamed { .. } | Phase::Over { .. } => None,
        }
    }

    fn talk(&mut self, swarm: usize, reached: Reached, env: &mut Env<'_>) {
        self.swarm = Some(swarm);
        let secs = env.world.config.visit_secs.into();
        self.ends_at = Some(env.notes.now + Duration::from_secs(secs));
        let mut talk = Talk::new(swarm, reached, &mut self.memory, env);
        let end = talk.settle(&self.input, &mut self.memory, env);
        debug_assert_eq!(end, None, "nothing was heard yet");
        self.phase = Phase::Talking(Box::new(talk));
    }

    /// Ends the visit when its planned time is over and no piece is coming. An incoming connection
    /// begins another round: it cannot be made again from here.
    fn plan(&mut self, env: &mut Env<'_>) -> Option<CloseKind> {
        let now = env.notes.now;
        if self.leaving.is_some() {
            return None;
        }
        let (config, at) = (&env.world.config, self.ends_at.filter(|at| *at <= now)?);
        let Phase::Talking(talk) = &mut self.phase else {
            return None;
        };
        let lasts = Duration::from_secs(config.visit_secs.into());
        let pause = Duration::from_secs(PIECE_PAUSE_SECS_MAX);
        let patience = if config.whole {
            lasts.max(pause)
        } else {
            pause
        };
        let wanted = talk.is_fetching() || config.whole;
        if wanted && talk.progress_at() + patience > now {
            self.ends_at = Some(talk.progress_at() + patience);
            return None;
        }
        if !self.incoming {
            self.leave(CloseKind::UsDone, env);
            return None;
        }
        // The rounds that a stall has swallowed are not made up for.
        let round = lasts + Duration::from_secs(config.revisit_secs.max(1).into());
        let missed = now.since(at).as_nanos() / round.as_nanos();
        let rounds = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
        self.ends_at = Some(at + round * rounds);
        talk.begin_round(&self.input, &mut self.memory, env)
    }

    /// Sends what there is to send, or ends the connection.
    fn flush(&mut self, end: Option<CloseKind>, env: &mut Env<'_>) {
        if let Some(how) = end {
            self.close(how, env);
        } else if let Phase::Talking(talk) = &mut self.phase {
            let bytes = talk.take_out();
            if !bytes.is_empty() {
                self.output.push(&bytes);
                env.notes.act(Action::Send {
                    conn: self.conn,
                    bytes,
                });
            }
        }
    }

    fn note_closed(&self, how: CloseKind, env: &mut Env<'_>) {
        let (bytes_in, digest_in) = self.input.total();
        let (bytes_out, digest_out) = self.output.total();
        env.notes.write(Body::Closed {
            conn: self.conn,
            how,
            bytes_in,
            bytes_out,
            digest_in,
            digest_out,
            payload_out: 0,
        });
    }
}

/// The swarm that the beginning of an incoming stream names. One that names none, or is no
/// handshake at all, goes to the first, whose machine says what is wrong with it.
fn swarm_named_by(bytes: &[u8], env: &Env<'_>) -> Option<usize> {
    if Handshake::check_prefix(bytes).is_err() {
        return Some(0);
    }
    let hash = bytes.get(INFO_HASH_END - 20..INFO_HASH_END)?;
    let hash = InfoHash(hash.try_into().expect("20 bytes were taken"));
    let named = |swarm: &crate::swarm::Swarm| swarm.target.info_hash == hash;
    Some(env.world.swarms.iter().position(named).unwrap_or(0))
}
