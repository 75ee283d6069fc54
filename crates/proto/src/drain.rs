//! The one loop that runs a machine which reads a stream: it offers bytes, carries the beginning of an
//! unfinished message over to the next call, passes payload by, and drains every `poll_*` after
//! every `handle_*`.
//!
//! What it is: [`Inlet`], the reading end of one connection, and [`settle`], the draining of a
//! [`PeerConn`]. Sockets, simulator, observer and verifier give it their world and write no loop of
//! their own. What it is not: a buffer for payload.
//!
//! ```text
//! bytes --feed--> handle_bytes --> Want::Bytes    keep the rest, come again
//!                                  Want::Payload  parts --> World::payload, then handle_payload
//!                                  Want::Discard  skip, then handle_discarded
//! ```
//!
//! A driver that can read a payload straight to its place asks [`Inlet::expects`] before it reads,
//! and says with [`Inlet::pass`] what it read there; everything else goes through [`Inlet::feed`].

use skep_wire::{Block, Moment};

use crate::peer::{Event, PeerConn, Transmit, Want};

/// A machine that reads a stream of peer messages.
pub trait Machine {
    /// See [`PeerConn::handle_bytes`].
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> (usize, Want);
    /// See [`PeerConn::handle_payload`].
    fn handle_payload(&mut self, block: Block, now: Moment);
    /// See [`PeerConn::handle_discarded`].
    fn handle_discarded(&mut self, now: Moment);
}

/// What surrounds a machine that reads a stream.
pub trait World<M: ?Sized> {
    /// A part of a payload has come.
    fn payload(&mut self, machine: &M, part: Part<'_>);
    /// Drains every `poll_*` of the machine to `None`. What comes out follows from the bytes of
    /// `span`, which is one message (of a `piece`, first the header, then all of it).
    fn settle(&mut self, machine: &mut M, span: Span);
}

/// A part of a block's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The block.
    pub block: Block,
    /// Where in the block the part begins, in bytes.
    pub offset: u32,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A stretch of a stream, by offsets from the stream's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
}

/// What the next bytes of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Message bytes, for [`Inlet::feed`].
    Bytes,
    /// The rest of a block's payload, from `offset` on: `block.len - offset` bytes.
    Payload {
        /// The block.
        block: Block,
        /// How much of it has passed, in bytes.
        offset: u32,
    },
    /// This many bytes that nobody wants.
    Discard {
        /// How many.
        len: u32,
    },
    /// Nothing: the connection is over.
    Nothing,
}

/// The reading end of one connection.
#[derive(Debug)]
pub struct Inlet {
    /// The beginning of an unfinished message.
    carry: Vec<u8>,
    expect: Expect,
    /// The message that is arriving or has just been taken.
    span: Span,
}

impl Default for Inlet {
    fn default() -> Self {
        Self {
            carry: Vec::new(),
            expect: Expect::Bytes,
            span: Span::default(),
        }
    }
}

impl Inlet {
    /// What the next bytes of the stream are. While a message is unfinished or none has begun, that
    /// is [`Expect::Bytes`].
    pub fn expects(&self) -> Expect {
        self.expect
    }

    /// How many bytes of an unfinished message are kept.
    pub fn carried(&self) -> usize {
        self.carry.len()
    }

    /// How many bytes of the stream the machine has taken.
    pub fn taken(&self) -> u64 {
        self.span.end
    }

    /// Feeds the next bytes of the stream, whatever they are.
    pub fn feed<M: Machine + ?Sized, W: World<M>>(
        &mut self,
        machine: &mut M,
        bytes: &[u8],
        now: Moment,
        world: &mut W,
    ) {
        let mut carried = std::mem::take(&mut self.carry);
        let mut rest = if carried.is_empty() {
            bytes
        } else {
            carried.extend_from_slice(bytes);
            &carried
        };
        while !rest.is_empty() {
            let took = match self.expect {
                Expect::Nothing => return,
                Expect::Bytes => self.take_message(machine, rest, now, world),
                Expect::Payload { block, offset } => {
                    let len = rest.len().min((block.len - offset) as usize);
                    world.payload(
                        machine,
                        Part {
                            block,
                            offset,
                            bytes: &rest[..len],
                        },
                    );
                    self.pass(machine, len, now, world);
                    len
                }
                Expect::Discard { len } => {
                    let len = rest.len().min(len as usize);
                    self.pass(machine, len, now, world);
                    len
                }
            };
            rest = &rest[took..];
            if took == 0 {
                break;
            }
        }
        if self.expect == Expect::Bytes && !rest.is_empty() {
            self.carry = rest.to_vec();
        }
    }

    /// The next `len` bytes, of the payload or of what is discarded, have passed: the driver put them
    /// where they belong itself. More than [`Inlet::expects`] names are not counted.
    pub fn pass<M: Machine + ?Sized, W: World<M>>(
        &mut self,
        machine: &mut M,
        len: usize,
        now: Moment,
        world: &mut W,
    ) {
        match &mut self.expect {
            Expect::Bytes | Expect::Nothing => return,
            Expect::Payload { block, offset } => {
                let len = len.min((block.len - *offset) as usize) as u32;
                self.span.end += u64::from(len);
                *offset += len;
                if *offset < block.len {
                    return;
                }
                machine.handle_payload(*block, now);
            }
            Expect::Discard { len: left } => {
                let len = len.min(*left as usize) as u32;
                self.span.end += u64::from(len);
                *left -= len;
                if *left > 0 {
                    return;
                }
                machine.handle_discarded(now);
            }
        }
        self.expect = Expect::Bytes;
        world.settle(machine, self.span);
    }

    fn take_message<M: Machine + ?Sized, W: World<M>>(
        &mut self,
        machine: &mut M,
        bytes: &[u8],
        now: Moment,
        world: &mut W,
    ) -> usize {
        let (used, want) = machine.handle_bytes(bytes, now);
        self.span = Span {
            start: self.span.end,
            end: self.span.end + used as u64,
        };
        self.expect = match want {
            Want::Bytes => Expect::Bytes,
            Want::Payload(block) => Expect::Payload { block, offset: 0 },
            Want::Discard { len } => Expect::Discard { len },
            Want::Nothing => Expect::Nothing,
        };
        world.settle(machine, self.span);
        used
    }
}

impl Machine for PeerConn {
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> (usize, Want) {
        self.handle_bytes(bytes, now)
    }

    fn handle_payload(&mut self, block: Block, now: Moment) {
        self.handle_payload(block, now);
    }

    fn handle_discarded(&mut self, now: Moment) {
        self.handle_discarded(now);
    }
}

/// What surrounds a lone [`PeerConn`].
pub trait PeerWorld {
    /// A part of a payload that was asked for has come.
    fn payload(&mut self, part: Part<'_>);
    /// Send this.
    fn transmit(&mut self, what: Transmit);
    /// This happened, by the bytes of `span` (empty where no byte caused it). The world may call the
    /// connection; what that brings out is drained too.
    fn event(&mut self, conn: &mut PeerConn, event: Event, span: Span);
}

impl<W: PeerWorld> World<PeerConn> for W {
    fn payload(&mut self, _conn: &PeerConn, part: Part<'_>) {
        PeerWorld::payload(self, part);
    }

    fn settle(&mut self, conn: &mut PeerConn, span: Span) {
        settle(conn, span, self);
    }
}

/// Drains a connection: for calls that do not come from an [`Inlet`].
pub fn settle<W: PeerWorld + ?Sized>(conn: &mut PeerConn, span: Span, world: &mut W) {
    loop {
        while let Some(what) = conn.poll_transmit() {
            world.transmit(what);
        }
        let Some(event) = conn.poll_event() else {
            return;
        };
        world.event(conn, event, span);
    }
}
