//! Journal entries and bytes to pcapng.

use std::{
    collections::{BTreeMap, btree_map},
    net::SocketAddr,
};

use skep_wire::Moment;

use super::{
    CONNS_MAX, CaptureError, Direction, PAYLOAD_BYTES_MAX, Packet, Section,
    block::{self, Ends, FLAGS_IN, FLAGS_OUT, Place},
};
use crate::{
    clock::ClockSample,
    journal::{CaptureOffset, ConnId, Entry, Input},
};

/// Renders the capture of a run, block by block.
#[derive(Debug, Clone)]
pub struct Renderer {
    len: u64,
    clock: Option<ClockSample>,
    flows: BTreeMap<ConnId, Flow>,
}

/// A connection: its ends, and the sequence number that comes next in each direction.
#[derive(Debug, Clone, Copy)]
struct Flow {
    local: SocketAddr,
    remote: SocketAddr,
    next_in: u32,
    next_out: u32,
}

impl Renderer {
    /// Starts a capture; returns its first bytes: section header and interface description.
    pub fn new(section: &Section) -> (Self, Vec<u8>) {
        let Section {
            observer,
            run,
            version,
        } = section;
        let comment = format!(
            "Run {run} of {observer}. Rebuilt from the bytes that went through sockets: no packet \
             was seen. Addresses, ports and payload are the socket's; sequence and acknowledgement \
             numbers count payload bytes from 1; there is no SYN, FIN or retransmission; times are \
             nominal, their error is in the ledger."
        );
        let mut head = block::section(&format!("skep {version}"), &comment);
        head.extend(block::interface(
            "sockets",
            "bytes of sockets, with rebuilt headers",
        ));
        (
            Self {
                len: head.len() as u64,
                clock: None,
                flows: BTreeMap::new(),
            },
            head,
        )
    }

    /// How long the capture is, which is where the next block goes. Never zero.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a capture has a header from the start"
    )]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Renders the block of bytes that came or went at `at`; the entry that points at it follows.
    ///
    /// # Errors
    ///
    /// [`CaptureError`]; nothing has changed then.
    pub fn packet(
        &mut self,
        at: Moment,
        packet: Packet,
        bytes: &[u8],
    ) -> Result<(CaptureOffset, Vec<u8>), CaptureError> {
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(CaptureError::PayloadTooLong { got: bytes.len() });
        }
        let utc_ns = self.clock.ok_or(CaptureError::NoClock)?.utc_ns_nominal(at);
        let (direction, ip) = match packet {
            Packet::Tcp { conn, direction } => {
                let flow = self
                    .flows
                    .get_mut(&conn)
                    .ok_or(CaptureError::ConnNotOpen { conn })?;
                (direction, flow.segment(direction, bytes))
            }
            Packet::Udp {
                local,
                remote,
                direction,
            } => {
                let ends = ends(local, remote, direction)?;
                (direction, block::udp(ends, bytes))
            }
        };
        let flags = match direction {
            Direction::In => FLAGS_IN,
            Direction::Out => FLAGS_OUT,
        };
        let block = block::packet(utc_ns, flags, &ip);
        let offset = CaptureOffset(self.len);
        self.len += block.len() as u64;
        Ok((offset, block))
    }

    /// Learns from an entry without bytes: clock, connections. Entries with bytes change nothing.
    ///
    /// # Errors
    ///
    /// [`CaptureError`]; nothing has changed then.
    pub fn learn(&mut self, entry: &Entry) -> Result<(), CaptureError> {
        match entry.input {
            Input::Clock(sample) => self.clock = Some(sample),
            Input::Opened {
                conn,
                local,
                remote,
            }
            | Input::Incoming {
                conn,
                local,
                remote,
            } => {
                ends(local, remote, Direction::In)?;
                if self.flows.len() >= CONNS_MAX {
                    return Err(CaptureError::TooManyConns);
                }
                match self.flows.entry(conn) {
                    btree_map::Entry::Occupied(_) => {
                        return Err(CaptureError::ConnOpenedTwice { conn });
                    }
                    btree_map::Entry::Vacant(free) => {
                        free.insert(Flow {
                            local,
                            remote,
                            next_in: 1,
                            next_out: 1,
                        });
                    }
                }
            }
            Input::Ended { conn, .. } => {
                self.flows.remove(&conn);
            }
            Input::Timeout
            | Input::Resolved { .. }
            | Input::Failed { .. }
            | Input::Received { .. }
            | Input::Sent { .. }
            | Input::Datagram { .. }
            | Input::DatagramSent { .. }
            | Input::Stop => {}
        }
        Ok(())
    }

    /// Both at once, for a replay: learns from `entry`, renders the block of its `bytes`, if it has
    /// any, and compares its offset and length. Returns the block's bytes, empty for an entry
    /// without bytes.
    ///
    /// # Errors
    ///
    /// [`CaptureError`].
    pub fn replay(&mut self, entry: &Entry, bytes: &[u8]) -> Result<Vec<u8>, CaptureError> {
        self.learn(entry)?;
        let Some((packet, capture, len)) = Packet::of(&entry.input) else {
            return Ok(Vec::new());
        };
        if bytes.len() != len as usize {
            return Err(CaptureError::OtherLen {
                got: bytes.len(),
                expected: len,
            });
        }
        if capture.0 != self.len {
            let expected = CaptureOffset(self.len);
            return Err(CaptureError::OtherOffset {
                got: capture,
                expected,
            });
        }
        self.packet(entry.at, packet, bytes).map(|(_, block)| block)
    }
}

impl Packet {
    /// The packet that an entry points at, with offset and length; `None` if it points at none.
    pub fn of(input: &Input) -> Option<(Self, CaptureOffset, u32)> {
        let (way_in, way_out) = (Direction::In, Direction::Out);
        match *input {
            Input::Received { conn, capture, len } => Some((
                Self::Tcp {
                    conn,
                    direction: way_in,
                },
                capture,
                len,
            )),
            Input::Sent { conn, capture, len } => Some((
                Self::Tcp {
                    conn,
                    direction: way_out,
                },
                capture,
                len,
            )),
            Input::Datagram {
                local,
                remote,
                capture,
                len,
            } => Some((
                Self::Udp {
                    local,
                    remote,
                    direction: way_in,
                },
                capture,
                len,
            )),
            Input::DatagramSent {
                local,
                remote,
                capture,
                len,
            } => Some((
                Self::Udp {
                    local,
                    remote,
                    direction: way_out,
                },
                capture,
                len,
            )),
            Input::Clock(_)
            | Input::Timeout
            | Input::Resolved { .. }
            | Input::Opened { .. }
            | Input::Failed { .. }
            | Input::Incoming { .. }
            | Input::Ended { .. }
            | Input::Stop => None,
        }
    }
}

impl Flow {
    fn segment(&mut self, direction: Direction, bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len() as u32;
        let Self {
            local,
            remote,
            next_in,
            next_out,
        } = *self;
        match direction {
            Direction::In => {
                self.next_in = next_in.wrapping_add(len);
                let ends = Ends {
                    from: remote,
                    to: local,
                };
                block::tcp(
                    ends,
                    Place {
                        seq: next_in,
                        ack: next_out,
                    },
                    bytes,
                )
            }
            Direction::Out => {
                self.next_out = next_out.wrapping_add(len);
                let ends = Ends {
                    from: local,
                    to: remote,
                };
                block::tcp(
                    ends,
                    Place {
                        seq: next_out,
                        ack: next_in,
                    },
                    bytes,
                )
            }
        }
    }
}

fn ends(local: SocketAddr, remote: SocketAddr, direction: Direction) -> Result<Ends, CaptureError> {
    if local.is_ipv4() != remote.is_ipv4() {
        return Err(CaptureError::MixedFamilies { local, remote });
    }
    Ok(match direction {
        Direction::In => Ends {
            from: remote,
            to: local,
        },
        Direction::Out => Ends {
            from: local,
            to: remote,
        },
    })
}
