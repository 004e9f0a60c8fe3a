//! TensorBoard's event records: TFRecord frames around the few protobuf fields a scalar needs.
//!
//! A frame is length (u64), masked CRC-32C of the length, the message, masked CRC-32C of the message; integers are
//! little-endian. The message is `tensorflow.Event` { 1 wall_time: double, 2 step: int64, 3 file_version: string,
//! 5 summary: { 1 value: { 1 tag: string, 2 simple_value: float } … } }.

/// Wire types of protobuf, in the low three bits of a field's key.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The record an event file begins with; `time` in seconds since 1970.
pub fn file_version(time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED64);
    event.extend(time.to_le_bytes());
    bytes(&mut event, 3, b"brain.Event:2");
    frame(&event)
}

/// One record holding all of `values` (tag and value) of one step.
pub fn scalars<'a>(time: f64, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        bytes(&mut one, 1, tag.as_bytes());
        key(&mut one, 2, FIXED32);
        one.extend((value as f32).to_le_bytes());
        bytes(&mut summary, 1, &one);
    }
    let mut event = Vec::new();
    key(&mut event, 1, FIXED64);
    event.extend(time.to_le_bytes());
    key(&mut event, 2, VARINT);
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    frame(&event)
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, BYTES);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(message.len() + 16);
    out.extend(length);
    out.extend(masked_crc32c(&length).to_le_bytes());
    out.extend(message);
    out.extend(masked_crc32c(message).to_le_bytes());
    out
}

/// TFRecord rotates and shifts each checksum, so that the checksum of data holding checksums is not degenerate.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with Castagnoli's polynomial, reflected, bit by bit: event records are small.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_has_its_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa, "RFC 3720, B.4");
    }

    #[test]
    fn records_are_what_tensorboard_decodes() {
        // TensorBoard 2.21 decoded this very record as step 300 with scalars train/loss = 1.5 and eval/s = 0.25.
        let record = scalars(2.0, 300, [("train/loss", 1.5), ("eval/s", 0.25)]);
        let message = &record[12..record.len() - 4];
        assert_eq!(record[..8], (message.len() as u64).to_le_bytes());
        let mut want = vec![0x09];
        want.extend(2f64.to_le_bytes());
        want.extend([0x10, 0xac, 0x02, 0x2a, 34, 0x0a, 17, 0x0a, 10]);
        want.extend(b"train/loss\x15");
        want.extend(1.5f32.to_le_bytes());
        want.extend([0x0a, 13, 0x0a, 6]);
        want.extend(b"eval/s\x15");
        want.extend(0.25f32.to_le_bytes());
        assert_eq!(message, want);
    }
}
