//! 16-bit mono WAV files.

use crate::error::{Error, Result};

/// The bytes of a mono 16-bit PCM WAV file; samples beyond ±1 are clipped.
///
/// # Errors
/// [`Error::Op`] where the samples do not fit the 32-bit sizes of the format (12 hours at 48 kHz).
pub fn wav_bytes(samples: &[f32], sample_rate: u32) -> Result<Vec<u8>> {
    let size = u32::try_from(2 * samples.len() as u64 + 36)
        .map_err(|_| Error::op("wav_bytes", "samples", "less than 4 GiB", format!("{} samples", samples.len())))?;
    let mut bytes = Vec::with_capacity(size as usize + 8);
    bytes.extend(b"RIFF");
    bytes.extend(size.to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(1u16.to_le_bytes()); // PCM
    bytes.extend(1u16.to_le_bytes()); // mono
    bytes.extend(sample_rate.to_le_bytes());
    bytes.extend((2 * sample_rate).to_le_bytes());
    bytes.extend(2u16.to_le_bytes()); // bytes per frame
    bytes.extend(16u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((size - 36).to_le_bytes());
    for x in samples {
        let value = (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        bytes.extend(value.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_reader_agrees() {
        let samples = [0.0, 0.5, -1.0, 2.0, -0.25];
        let bytes = wav_bytes(&samples, 24_000).unwrap();
        let mut reader = hound::WavReader::new(bytes.as_slice()).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().sample_rate, reader.spec().bits_per_sample), (1, 24_000, 16));
        let read: Vec<i16> = reader.samples().map(|s| s.unwrap()).collect();
        assert_eq!(read, [0, 16_384, -32_768, 32_767, -8_192]);
    }
}
