//! What each kind of entry does.

use std::net::SocketAddr;

use skep_evidence::{
    grade::Reached,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry},
    record::CloseKind,
};
use skep_proto::drain::Span;

use super::{Conn, Observer, Phase};
use crate::{Fault, desk::no_connection, stream::Incoming, visit::Visit};

impl Observer {
    pub(super) fn opened(
        &mut self,
        entry: &Entry,
        conn: ConnId,
        remote: SocketAddr,
    ) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "opened",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if visit.is_connecting() && visit.endpoint == remote => {
                let reached = Reached::from_entry(entry).expect("the entry opens a connection");
                self.visit(conn, |visit, env| visit.opened(reached, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if !desk.stands && desk.remote == remote => {
                desk.stands = true;
                let (desk, number) = (desk.desk, desk.number);
                self.desks[desk]
                    .announcer
                    .handle_opened(number, self.notes.now);
                self.run_desk(desk, None);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    pub(super) fn failed(&mut self, conn: ConnId, reason: ConnectFailure) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "failed",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if visit.is_connecting() => {
                self.visit(conn, |visit, env| visit.failed(reason, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if !desk.stands => {
                let (desk, number) = (desk.desk, desk.number);
                self.drop_desk_conn(conn);
                let why = no_connection(reason);
                self.desks[desk]
                    .announcer
                    .handle_failed(number, why, self.notes.now);
                self.run_desk(desk, None);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    pub(super) fn came_in(&mut self, entry: &Entry, conn: ConnId) -> Result<(), Fault> {
        if conn.0 % 2 != 1 || self.last_incoming.is_some_and(|last| conn <= last) {
            return Err(Fault::Conn {
                conn,
                input: "incoming",
            });
        }
        self.last_incoming = Some(conn);
        let reached = Reached::from_entry(entry).expect("the entry is of a connection that stands");
        let full = self.visits_in >= self.world.config.conns_max;
        let forbidden = self
            .allowance
            .forbids(reached.endpoint().ip(), self.notes.now);
        let leaving = self.phase != Phase::Running;
        let (mut env, conns) = self.split();
        let visit = Visit::incoming(reached, &mut env);
        conns.insert(conn, Conn::Visit(Box::new(visit)));
        self.visits_in += 1;
        if full {
            let limit = self.world.config.conns_max.into();
            self.notes.limited(None, None, "conns_max", limit);
        }
        if let Some((limit, value)) = forbidden {
            self.notes.limited(None, None, limit, value);
        }
        let how = if leaving {
            CloseKind::UsStopped
        } else {
            CloseKind::UsDone
        };
        self.visit(conn, |visit, env| {
            if full || leaving || forbidden.is_some() {
                visit.close(how, env);
            }
        });
        Ok(())
    }

    pub(super) fn received(
        &mut self,
        conn: ConnId,
        capture: CaptureOffset,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "received",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if !visit.is_connecting() => {
                self.visit(conn, |visit, env| visit.received(capture, bytes, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if desk.stands => {
                desk.input.push(capture, bytes);
                desk.input.release(desk.input.len());
                let source = desk.input.source_of_all();
                let (desk, number) = (desk.desk, desk.number);
                self.desks[desk]
                    .announcer
                    .handle_bytes(number, bytes, self.notes.now);
                self.run_desk(desk, source);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    pub(super) fn sent(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), Fault> {
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if !visit.is_connecting() => visit.sent(bytes),
            Some(Conn::Desk(desk)) if desk.stands => desk.output.sent(bytes),
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => {
                return Err(Fault::Conn {
                    conn,
                    input: "sent",
                });
            }
        }
        .ok_or(Fault::NotQueued { conn })
    }

    pub(super) fn ended(&mut self, conn: ConnId, how: EndKind) -> Result<(), Fault> {
        let fault = Fault::Conn {
            conn,
            input: "ended",
        };
        match self.conns.get_mut(&conn) {
            Some(Conn::Visit(visit)) if !visit.is_connecting() => {
                self.visit(conn, |visit, env| visit.ended(how, env));
                Ok(())
            }
            Some(Conn::Desk(desk)) if desk.stands => {
                let source = desk.input.source_of_all();
                let (desk, number) = (desk.desk, desk.number);
                self.drop_desk_conn(conn);
                self.desks[desk]
                    .announcer
                    .handle_end(number, self.notes.now);
                self.run_desk(desk, source);
                Ok(())
            }
            Some(Conn::Visit(_) | Conn::Desk(_)) | None => Err(fault),
        }
    }

    pub(super) fn datagram(&mut self, remote: SocketAddr, capture: CaptureOffset, bytes: &[u8]) {
        let mut stream = Incoming::default();
        stream.push(capture, bytes);
        let source = stream.source(Span {
            start: 0,
            end: bytes.len() as u64,
        });
        for desk in 0..self.desks.len() {
            let now = self.notes.now;
            if self.desks[desk]
                .announcer
                .handle_datagram(remote, bytes, now)
            {
                self.run_desk(desk, source);
                return;
            }
        }
    }

    /// The oldest datagram went out. One that the system would not take is passed over.
    pub(super) fn datagram_sent(&mut self, remote: SocketAddr, bytes: &[u8]) -> Result<(), Fault> {
        while let Some((to, queued)) = self.datagrams.pop_front() {
            if to == remote && queued == bytes {
                return Ok(());
            }
        }
        Err(Fault::DatagramNotQueued)
    }
}
