//! Packets, byte for byte. Those written out here come from pymavlink 2.4.50.

use super::*;

const HEARTBEAT: &str = "fd090000000164000000000000001e080004036188";
const ACK: &str = "fd0a00000101644d0000d40700ff00000000ffbe367c";
const ACK_OF_UNKNOWN: &str = "fd090000020164" /* sequence 2 */;
const STATUS: &str = "fd1f00000201641301000000003f0000803e0000c07f0000c03e0000003e0000203f0000c03e0102049066";
const TAP: &str = "fd20000000ffbe4c00000000003f0000803e0000000000000000000000000000000000000000d40701646333";
const TAP_V1: &str = "fe2100ffbe4c0000003f0000803e0000000000000000000000000000000000000000d4070164002e26";
const TAP_SIGNED: &str = "fd20010000ffbe4c00000000003f0000803e0000000000000000000000000000000000000000d4070164b4ad\
                          000100000000008f9201a37425";
const RECTANGLE_INT: &str = "fd20000000ffbe4b0000cdcccc3dcdcc4c3e9a99993ecdcccc3e640000000000000000000000d5070164426b";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// What is found in bytes that come in pieces.
fn found(framer: &mut Framer, pieces: &[&[u8]]) -> Vec<(Header, Vec<u8>)> {
    let mut found = Vec::new();
    for piece in pieces {
        framer.feed(piece, |header, payload| found.push((header, payload.to_vec())));
    }
    found
}

fn the_tap() -> Command {
    command(POINT, &[0.5, 0.25])
}

fn commands(found: &[(Header, Vec<u8>)]) -> Vec<Command> {
    let read = |(header, payload): &(Header, Vec<u8>)| match Incoming::read(header.message, payload) {
        Incoming::Command(command) => Some(command),
        _ => None,
    };
    found.iter().filter_map(read).collect()
}

#[test]
fn what_is_sent_is_what_others_send() {
    let (mut component, fake, now) = camera();
    let mut channel = Channel::default();
    let mut packets = Vec::new();
    let heartbeat = component.tick(now);
    packets.extend(heartbeat.iter().map(|message| component.packet(&mut channel, message)));
    packets.extend(component.feed(&mut channel, &bytes(TAP), now));
    packets.push(component.packet(&mut channel, &component.tracking_status()));
    let sent: Vec<_> = packets.iter().map(|packet| packet.raw_bytes().to_vec()).collect();
    assert_eq!(sent, [bytes(HEARTBEAT), bytes(ACK), bytes(STATUS)]);
    assert_eq!(fake.asked(), [Target::Point { x: 0.5, y: 0.25, radius: 0.0 }]);
}

#[test]
fn an_unknown_command_is_answered_with_its_own_number() {
    let (mut component, _, now) = camera();
    let (result, message) = outcome(ask(&mut component, command(42_428, &[]), now), 42_428);
    assert_eq!((result, message), (MavResult::MAV_RESULT_UNSUPPORTED, None));
    let ack = Outgoing::Ack(Ack { command: 42_428, result, to: (255, 0) });
    let packet = ack.packet(mavlink::MavHeader { system_id: 1, component_id: 100, sequence: 2 });
    // Zeros at the end are left out.
    assert_eq!(packet.raw_bytes()[..7], bytes(ACK_OF_UNKNOWN));
    assert_eq!(packet.payload(), bytes("bca503ff00000000ff"));
}

#[test]
fn both_versions_and_signed_packets_are_read() {
    for packet in [TAP, TAP_V1, TAP_SIGNED] {
        let found = found(&mut Framer::default(), &[&bytes(packet)]);
        assert_eq!(commands(&found), [the_tap()], "{packet}");
        let Header { system, component, sequence, .. } = found[0].0;
        assert_eq!((system, component, sequence), (255, 190, 0));
    }
}

#[test]
fn a_command_with_integers_is_the_same_command() {
    let found = found(&mut Framer::default(), &[&bytes(RECTANGLE_INT)]);
    assert_eq!(commands(&found), [command(RECTANGLE, &[0.1, 0.2, 0.3, 0.4, 100.0])]);
    let mut left_out = bytes(RECTANGLE_INT)[10..42].to_vec();
    left_out[16..20].copy_from_slice(&i32::MAX.to_le_bytes());
    let Incoming::Command(read) = Incoming::read(75, &left_out) else { panic!("no command") };
    assert!(read.parameters[4].is_nan());
    // Nothing at all is read as zeros.
    let Incoming::Command(empty) = Incoming::read(76, &[]) else { panic!("no command") };
    assert_eq!(empty, Command { target_system: 0, target_component: 0, ..command(0, &[]) });
}

#[test]
fn packets_are_found_wherever_the_bytes_are_cut() {
    let stream = [bytes(TAP), bytes(TAP_V1), bytes(TAP_SIGNED), bytes(HEARTBEAT)].concat();
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        let found = found(&mut Framer::default(), &[first, second]);
        assert_eq!((found.len(), commands(&found).len()), (4, 3), "cut at {cut}");
    }
    let single: Vec<_> = stream.chunks(1).collect();
    assert_eq!(found(&mut Framer::default(), &single).len(), 4);
    // More than the framer looks at in one go.
    assert_eq!(found(&mut Framer::default(), &[&stream.repeat(100)]).len(), 400);
}

#[test]
fn garbage_between_packets_costs_none_of_them() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..300 {
        let length = next() % 600;
        // Many beginnings of packets among it.
        let garbage: Vec<u8> = (0..length).map(|_| if next() % 8 == 0 { 0xfd } else { next() as u8 }).collect();
        let stream = [garbage, bytes(TAP), bytes(TAP_V1)].concat();
        let mut framer = Framer::default();
        let mut all = found(&mut framer, &[&stream]);
        // A beginning in the garbage may claim more bytes than there are, until its sender falls silent.
        framer.give_up(|header, payload| all.push((header, payload.to_vec())));
        assert_eq!(commands(&all), [the_tap(), the_tap()]);
    }
}

#[test]
fn a_flipped_bit_anywhere_loses_that_packet_alone() {
    let good = bytes(TAP);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut framer = Framer::default();
        let mut all = found(&mut framer, &[&bad, &good, &good]);
        framer.give_up(|header, payload| all.push((header, payload.to_vec())));
        assert_eq!(commands(&all), [the_tap(), the_tap()], "bit {bit}");
    }
}

#[test]
fn a_packet_inside_another_is_not_set_free() {
    // LOGGING_DATA, which carries a log of packets, and a message that this program has never heard of.
    let mut log = vec![0; 255];
    log[6..6 + bytes(TAP).len()].copy_from_slice(&bytes(TAP));
    let packet = |id: [u8; 3], extra: u8| {
        let mut packet = vec![0xfd, 255, 0, 0, 0, 1, 1, id[0], id[1], id[2]];
        packet.extend_from_slice(&log);
        let checksum = mavlink::calculate_crc(&packet[1..], extra);
        packet.extend_from_slice(&checksum.to_le_bytes());
        packet
    };
    for (carrier, known) in [(packet([10, 1, 0], 193), 1), (packet([0xff, 0xff, 0xfe], 77), 0)] {
        let stream = [carrier, bytes(TAP_V1)].concat();
        let mut framer = Framer::default();
        let found = found(&mut framer, &[&stream]);
        assert_eq!(commands(&found), [the_tap()]);
        assert_eq!((framer.packets(), framer.bad()), (1 + known, 0));
    }
}

#[test]
fn flags_that_are_not_understood_drop_the_packet() {
    let mut odd = bytes(TAP);
    odd[2] = 0x82;
    let mut framer = Framer::default();
    assert_eq!(commands(&found(&mut framer, &[&odd, &bytes(TAP)])), [the_tap()]);
    assert_eq!(framer.bad(), 1);
}

#[test]
fn silence_ends_an_unfinished_packet() {
    let (mut component, fake, now) = camera();
    let mut channel = Channel::default();
    // The beginning of a long packet, a tap in what would be the rest of it, and then nothing more.
    let stream = [vec![0xfd, 255, 0, 0, 0, 1, 1, 0, 0, 0], bytes(TAP)].concat();
    assert!(component.feed(&mut channel, &stream, now).is_empty());
    assert!(component.feed(&mut channel, &[], now + Duration::from_millis(900)).is_empty());
    assert_eq!(component.feed(&mut channel, &[], now + Duration::from_millis(1100)).len(), 1);
    assert_eq!(fake.asked().len(), 1);
}
