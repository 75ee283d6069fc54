//! What follows from entries: visits, names, and what trackers are asked.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use skep_evidence::{
    journal::{ConnId, QueryId},
    record::{Body, CloseKind, Source, Transport},
};
use skep_proto::tracker::client::Ask;

use super::{Conn, DATAGRAMS_WAITING_MAX, Observer, Phase};
use crate::{
    Env,
    action::Action,
    desk::DeskConn,
    swarm::{Endpoint, Named, Naming},
    timers::Timer,
    visit::Visit,
};

impl Observer {
    /// Whether another connection of ours may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.visits_out < self.world.config.conns_max
    }

    /// Connects to everybody whose turn it is.
    pub(super) fn visit_due(&mut self) {
        while self.has_room()
            && let Some(&(at, order, swarm, endpoint)) = self.schedule.first()
            && at <= self.notes.now
        {
            self.schedule.remove(&(at, order, swarm, endpoint));
            if let Some((limit, value)) =
                self.allowance.forbids_visit(endpoint.ip(), self.notes.now)
            {
                self.notes.limited(None, None, limit, value);
                let pause = Duration::from_secs(self.world.config.revisit_secs.max(1).into());
                let later = (self.notes.now + pause, order, swarm, endpoint);
                self.schedule.insert(later);
                continue;
            }
            if self.is_visited_elsewhere(swarm, endpoint) {
                self.endpoint(swarm, endpoint).held_back = true;
                continue;
            }
            let conn = self.take_conn();
            let known = self.endpoint(swarm, endpoint);
            known.conn = Some(conn);
            let memory = std::mem::take(&mut known.memory);
            let visit = Visit::outgoing(conn, swarm, endpoint, memory);
            self.conns.insert(conn, Conn::Visit(Box::new(visit)));
            self.visits_out += 1;
            self.attempts = self.attempts.saturating_add(1);
            let target = self.world.swarms[swarm].index;
            let transport = Transport::Tcp;
            self.notes.write(Body::Attempted {
                target,
                conn,
                endpoint,
                transport,
            });
            let timeout_ms = self.world.config.connect_ms;
            self.notes.act(Action::Connect {
                conn,
                remote: endpoint,
                timeout_ms,
            });
        }
    }

    /// Whether the endpoint is being visited in the other swarm of a hybrid. To most clients both are one
    /// torrent, of which they allow an address one connection.
    fn is_visited_elsewhere(&self, swarm: usize, endpoint: SocketAddr) -> bool {
        let conn = |other: usize| self.world.swarms[other].endpoints.get(&endpoint)?.conn;
        self.siblings(swarm).any(|other| conn(other).is_some())
    }

    /// The other swarms of the same torrent.
    fn siblings(&self, swarm: usize) -> impl Iterator<Item = usize> {
        let swarms = &self.world.swarms;
        let same = move |other: usize| swarms[other].target.place == swarms[swarm].target.place;
        // A hybrid's two stand side by side.
        let near = swarm.saturating_sub(1)..(swarm + 2).min(swarms.len());
        near.filter(move |&other| other != swarm && same(other))
    }

    /// A visit is over: lets the other swarm of a hybrid have its turn.
    fn end_hold(&mut self, swarm: usize, endpoint: SocketAddr) {
        let now = self.notes.now;
        for other in self.siblings(swarm).collect::<Vec<_>>() {
            let Some(known) = self.world.swarms[other].endpoints.get_mut(&endpoint) else {
                continue;
            };
            if std::mem::take(&mut known.held_back) {
                self.schedule.insert((now, known.order, other, endpoint));
            }
        }
    }

    /// Does something with a visit, if there is one of that number, and then what follows from it.
    pub(super) fn visit(&mut self, conn: ConnId, act: impl FnOnce(&mut Visit, &mut Env<'_>)) {
        let (mut env, conns) = self.split();
        let Some(Conn::Visit(visit)) = conns.get_mut(&conn) else {
            return;
        };
        act(visit, &mut env);
        let known = visit
            .swarm
            .zip(visit.may_be_visited_at())
            .and_then(|(swarm, at)| env.world.swarms[swarm].endpoints.get(&at));
        if known.is_some_and(Endpoint::turned_us_away) {
            visit.leave(CloseKind::UsDone, &mut env);
        }
        if visit.is_over() {
            self.end_visit(conn);
        } else {
            let at = visit.next_timeout();
            self.timers.set(Timer::Visit(conn), at);
        }
        self.take_heard();
    }

    pub(super) fn end_visit(&mut self, conn: ConnId) {
        self.timers.set(Timer::Visit(conn), None);
        let Some(Conn::Visit(visit)) = self.conns.remove(&conn) else {
            return;
        };
        if visit.incoming {
            self.visits_in -= 1;
            return;
        }
        self.visits_out -= 1;
        let swarm = visit.swarm.expect("we know for which swarm we connected");
        let joined = visit.has_joined();
        let endpoint = visit.endpoint;
        let (now, revisit) = (self.notes.now, self.world.config.revisit_secs);
        let running = self.phase == Phase::Running;
        let known = self.endpoint(swarm, endpoint);
        known.conn = None;
        known.memory = visit.memory;
        known.joined |= joined;
        known.failures = if joined {
            0
        } else {
            known.failures.saturating_add(1)
        };
        let next = (now + known.pause(revisit), known.order, swarm, endpoint);
        if running {
            self.schedule.insert(next);
            self.end_hold(swarm, endpoint);
        }
        self.make_way(endpoint);
    }

    /// Looks again at the incoming connections that may stand in the way of visits to `endpoint`.
    fn make_way(&mut self, endpoint: SocketAddr) {
        let in_the_way = |conn: &Conn| match conn {
            Conn::Visit(visit) => visit.may_be_visited_at() == Some(endpoint),
            Conn::Desk(_) => false,
        };
        let conns: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| in_the_way(conn))
            .map(|(id, _)| *id)
            .collect();
        for conn in conns {
            self.visit(conn, |_, _| {});
        }
    }

    /// Writes down who was named, and plans to visit who is new.
    pub(super) fn take_heard(&mut self) {
        for (place, naming) in std::mem::take(&mut self.heard) {
            let Naming {
                endpoint,
                namer,
                by,
                source,
            } = naming;
            let now = self.notes.now;
            let swarm = &mut self.world.swarms[place];
            let target = swarm.index;
            match swarm.name(endpoint, namer, now) {
                Named::Listed { contact } => {
                    self.notes.write(Body::Listed {
                        target,
                        endpoint,
                        by,
                        source,
                    });
                    let order = swarm
                        .endpoints
                        .get(&endpoint)
                        .map_or(0, |known| known.order);
                    if contact && self.phase == Phase::Running {
                        self.schedule.insert((now, order, place, endpoint));
                    }
                }
                Named::Known => {}
                Named::Full(limit, value) => {
                    self.notes.limited(Some(target), None, limit, value as u64);
                }
            }
        }
    }

    /// Carries out what a tracker's announcer asks for, and writes down what it says. `source` is
    /// where the bytes are that it was fed last.
    pub(super) fn run_desk(&mut self, place: usize, source: Option<Source>) {
        while let Some(ask) = self.desks[place].announcer.poll_ask() {
            self.do_ask(place, ask);
        }
        while let Some(event) = self.desks[place].announcer.poll_event() {
            let swarm = self.desks[place].swarm;
            let target = self.world.swarms[swarm].index;
            let named = self.desks[place].note_event(target, event, source, &mut self.notes);
            self.heard
                .extend(named.into_iter().map(|naming| (swarm, naming)));
        }
        let at = self.desks[place].next_timeout();
        self.timers.set(Timer::Tracker(place), at);
        self.take_heard();
    }

    pub(super) fn do_ask(&mut self, place: usize, ask: Ask) {
        let target = self.world.swarms[self.desks[place].swarm].index;
        match ask {
            Ask::Resolve {
                query: number,
                host,
            } => {
                let query = QueryId(self.next_query);
                self.next_query += 1;
                self.queries.insert(query, (place, number));
                self.notes.act(Action::Resolve { query, host });
            }
            Ask::Connect {
                conn: number,
                remote,
                timeout,
            } => {
                let conn = self.take_conn();
                self.conns.insert(
                    conn,
                    Conn::Desk(Box::new(DeskConn::new(place, number, remote))),
                );
                let desk = &mut self.desks[place];
                desk.conns.insert(number, conn);
                desk.note_asked(target, remote, Some(conn), &mut self.notes);
                let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
                self.notes.act(Action::Connect {
                    conn,
                    remote,
                    timeout_ms,
                });
            }
            Ask::Send {
                conn: number,
                bytes,
            } => {
                let conn = self.desks[place].conns.get(&number).copied();
                if let Some(conn) = conn
                    && let Some(Conn::Desk(desk)) = self.conns.get_mut(&conn)
                {
                    desk.output.push(&bytes);
                    self.notes.act(Action::Send { conn, bytes });
                }
            }
            Ask::Close { conn: number } => {
                if let Some(&conn) = self.desks[place].conns.get(&number) {
                    self.drop_desk_conn(conn);
                    self.notes.act(Action::Close { conn });
                }
            }
            Ask::SendTo { remote, bytes } => {
                self.desks[place].note_asked(target, remote, None, &mut self.notes);
                if self.datagrams.len() == DATAGRAMS_WAITING_MAX {
                    self.datagrams.pop_front();
                }
                self.datagrams.push_back((remote, bytes.clone()));
                self.notes.act(Action::SendTo { remote, bytes });
            }
        }
    }

    pub(super) fn drop_desk_conn(&mut self, conn: ConnId) {
        if let Some(Conn::Desk(desk)) = self.conns.remove(&conn) {
            self.desks[desk.desk].conns.remove(&desk.number);
        }
    }

    pub(super) fn take_conn(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn = self
            .next_conn
            .checked_add(2)
            .expect("a run has fewer than 2^31 attempts");
        conn
    }

    pub(super) fn endpoint(&mut self, swarm: usize, endpoint: SocketAddr) -> &mut Endpoint {
        let known = self.world.swarms[swarm].endpoints.get_mut(&endpoint);
        known.expect("whoever is visited was named")
    }

    /// What a visit may use, and the connections.
    pub(super) fn split(&mut self) -> (Env<'_>, &mut BTreeMap<ConnId, Conn>) {
        let Self {
            world,
            notes,
            allowance,
            fetching,
            heard,
            incoming,
            conns,
            ..
        } = self;
        (
            Env {
                world,
                notes,
                allowance,
                fetching,
                heard,
                incoming,
            },
            conns,
        )
    }
}
