//! pcapng blocks and the packets in them, as bytes. Little-endian, as the section header says.

use std::net::{IpAddr, SocketAddr};

/// Block type of the section header.
const SECTION: u32 = 0x0a0d_0d0a;
/// Block type of an interface description.
const INTERFACE: u32 = 1;
/// Block type of an enhanced packet.
pub(super) const PACKET: u32 = 6;
/// Link type of bare IPv4 and IPv6 packets.
const LINKTYPE_RAW: u16 = 101;
/// Option that ends the options.
const OPT_END: u16 = 0;
/// Option: comment.
const OPT_COMMENT: u16 = 1;
/// Option of the section: the program.
const SHB_USERAPPL: u16 = 4;
/// Options of the interface: name, description, resolution of time stamps.
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
/// Option of a packet: flags, whose two lowest bits are the direction.
pub(super) const EPB_FLAGS: u16 = 2;
/// Direction bits of [`EPB_FLAGS`].
pub(super) const FLAGS_IN: u32 = 1;
pub(super) const FLAGS_OUT: u32 = 2;

/// IP protocol numbers.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// The section header.
pub(super) fn section(program: &str, comment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend(1_u16.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    body.extend(u64::MAX.to_le_bytes()); // The section's length is not said.
    option(&mut body, OPT_COMMENT, comment.as_bytes());
    option(&mut body, SHB_USERAPPL, program.as_bytes());
    option(&mut body, OPT_END, &[]);
    block(SECTION, &body)
}

/// The description of the one interface.
pub(super) fn interface(name: &str, description: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_RAW.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    body.extend(0_u32.to_le_bytes()); // No limit on the captured length.
    option(&mut body, IF_NAME, name.as_bytes());
    option(&mut body, IF_DESCRIPTION, description.as_bytes());
    option(&mut body, IF_TSRESOL, &[9]);
    option(&mut body, OPT_END, &[]);
    block(INTERFACE, &body)
}

/// An enhanced packet block.
pub(super) fn packet(utc_ns: u64, flags: u32, packet: &[u8]) -> Vec<u8> {
    let len = u32::try_from(packet.len()).expect("a packet is at most 65,575 bytes");
    let mut body = Vec::with_capacity(packet.len() + 48);
    body.extend(0_u32.to_le_bytes()); // The first interface.
    body.extend(((utc_ns >> 32) as u32).to_le_bytes());
    body.extend((utc_ns as u32).to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(packet);
    body.resize(body.len().next_multiple_of(4), 0);
    option(&mut body, EPB_FLAGS, &flags.to_le_bytes());
    option(&mut body, OPT_END, &[]);
    block(PACKET, &body)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    let len = u16::try_from(value.len()).expect("an option is shorter than 64 KiB");
    body.extend(len.to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 12).expect("a block is shorter than 4 GiB");
    let mut block = Vec::with_capacity(body.len() + 12);
    block.extend(kind.to_le_bytes());
    block.extend(len.to_le_bytes());
    block.extend(body);
    block.extend(len.to_le_bytes());
    block
}

/// Where a TCP segment stands in its two streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Sequence number of the first byte.
    pub(super) seq: u32,
    /// Sequence number of the next byte from the other side.
    pub(super) ack: u32,
}

/// The two ends of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// An IP packet with a TCP segment: PSH and ACK, window 65,535, no options.
pub(super) fn tcp(ends: Ends, place: Place, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(ends.from.port().to_be_bytes());
    segment.extend(ends.to.port().to_be_bytes());
    segment.extend(place.seq.to_be_bytes());
    segment.extend(place.ack.to_be_bytes());
    segment.extend([0x50, 0x18]);
    segment.extend(u16::MAX.to_be_bytes());
    segment.extend([0, 0, 0, 0]);
    segment.extend(payload);
    let sum = transport_checksum(ends, TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(ends, TCP, &segment)
}

/// An IP packet with a UDP datagram.
pub(super) fn udp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(ends.from.port().to_be_bytes());
    datagram.extend(ends.to.port().to_be_bytes());
    datagram.extend(length(8 + payload.len()).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    // A sum of zero is sent as its other form, since zero means "no checksum" (RFC 768).
    let sum = match transport_checksum(ends, UDP, &datagram) {
        0 => u16::MAX,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(ends, UDP, &datagram)
}

/// The header of IPv4 (don't fragment, identification 0: RFC 6864) or IPv6, 64 hops, and the rest.
fn ip(ends: Ends, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + rest.len());
    match (ends.from.ip(), ends.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend(length(20 + rest.len()).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = !fold(sum(&packet));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length(rest.len()).to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(ipv6(from));
            packet.extend(ipv6(to));
        }
    }
    packet.extend(rest);
    packet
}

fn length(len: usize) -> u16 {
    u16::try_from(len).expect("payload of at most PAYLOAD_BYTES_MAX fits an IP packet")
}

fn ipv6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The checksum of TCP and UDP: over a pseudo header and the rest (RFC 9293, RFC 8200).
pub(super) fn transport_checksum(ends: Ends, protocol: u8, rest: &[u8]) -> u16 {
    let addresses = match (ends.from.ip(), ends.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (from, to) => sum(&ipv6(from)) + sum(&ipv6(to)),
    };
    !fold(addresses + u64::from(protocol) + rest.len() as u64 + sum(rest))
}

/// The sum of 16-bit words, a last odd byte being the high one of its word (RFC 1071). Summed as
/// 32-bit words, which folds to the same.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words
        .iter()
        .chain([&last])
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}
