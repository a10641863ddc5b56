//! The pack: the instances of a bundle, one after another, compressed where that was checked to be
//! exact (docs/protocol.md 3.1).

use std::io::{self, Read, Write};

use crate::Malformed;

const MAGIC: &[u8; 4] = b"HPB1";
const STORED: u8 = 0;
const ZSTD: u8 = 1;
const END: u8 = 0xff;
/// zstd's level: 3 compresses faster than the sender's network delivers.
const LEVEL: i32 = 3;

/// Largest instance.
pub const MAX_INSTANCE_BYTES: u64 = 4 << 30;
/// Most instances of one bundle.
pub const MAX_INSTANCES: usize = 65_536;

/// Why a pack could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not a pack.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bytes could not be had.
    #[error("reading the pack failed")]
    Io(#[from] io::Error),
}

/// Writes a pack to any sink, one instance in memory at a time.
pub struct Writer<W> {
    sink: W,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a pack.
    pub fn new(mut sink: W) -> io::Result<Self> {
        sink.write_all(MAGIC)?;
        Ok(Self {
            sink,
            written: MAGIC.len() as u64,
        })
    }

    /// Appends an instance, byte for byte.
    pub fn append(&mut self, instance: &[u8]) -> io::Result<()> {
        let compressed = zstd::bulk::compress(instance, LEVEL)
            .ok()
            .filter(|c| c.len() < instance.len())
            .filter(|c| {
                zstd::bulk::decompress(c, instance.len()).is_ok_and(|back| back == instance)
            });
        let (coding, stored) = match &compressed {
            Some(smaller) => (ZSTD, smaller.as_slice()),
            None => (STORED, instance),
        };
        self.sink.write_all(&[coding])?;
        self.sink
            .write_all(&(instance.len() as u64).to_be_bytes())?;
        self.sink.write_all(&(stored.len() as u64).to_be_bytes())?;
        self.sink.write_all(stored)?;
        self.written += 17 + stored.len() as u64;
        Ok(())
    }

    /// Ends the pack; its length in bytes and the sink.
    pub fn finish(mut self) -> io::Result<(u64, W)> {
        self.sink.write_all(&[END])?;
        self.sink.flush()?;
        Ok((self.written + 1, self.sink))
    }
}

/// Reads the instances of a pack in order, one in memory at a time.
pub struct Reader<R> {
    source: R,
}

impl<R: Read> Reader<R> {
    /// Checks the beginning.
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut magic = [0; 4];
        read(&mut source, &mut magic)?;
        if &magic != MAGIC {
            return Err(bad("it does not begin with HPB1").into());
        }
        Ok(Self { source })
    }

    /// The next instance, which must be `expected` bytes long, as the manifest says; `None` at the end mark.
    pub fn next(&mut self, expected: Option<u64>) -> Result<Option<Vec<u8>>, ReadError> {
        let mut coding = [0];
        read(&mut self.source, &mut coding)?;
        if coding[0] == END {
            return Ok(None);
        }
        let original = self.length()?;
        let stored = self.length()?;
        if expected != Some(original) || original > MAX_INSTANCE_BYTES {
            return Err(bad("an instance's length differs from the manifest").into());
        }
        if stored > original {
            return Err(bad("an instance is stored longer than it is").into());
        }
        let mut bytes = Vec::new();
        (&mut self.source).take(stored).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != stored {
            return Err(bad("it ends within an instance").into());
        }
        match coding[0] {
            STORED if stored == original => Ok(Some(bytes)),
            ZSTD => {
                let capacity = usize::try_from(original)
                    .map_err(|_| bad("an instance is too large for this machine"))?;
                let back = zstd::bulk::decompress(&bytes, capacity)
                    .map_err(|_| bad("an instance does not decompress"))?;
                if back.len() != capacity {
                    return Err(bad("an instance decompresses to another length").into());
                }
                Ok(Some(back))
            }
            _ => Err(bad("unknown coding").into()),
        }
    }

    fn length(&mut self) -> Result<u64, ReadError> {
        let mut bytes = [0; 8];
        read(&mut self.source, &mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }
}

fn read(source: &mut impl Read, into: &mut [u8]) -> Result<(), ReadError> {
    source.read_exact(into).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => bad("it ends too early").into(),
        _ => e.into(),
    })
}

fn bad(why: &str) -> Malformed {
    Malformed::new("pack", why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(instances: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for instance in instances {
            writer.append(instance).unwrap();
        }
        let (length, bytes) = writer.finish().unwrap();
        assert_eq!(length, bytes.len() as u64);
        bytes
    }

    fn unpack(bytes: &[u8], lengths: &[u64]) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut reader = Reader::new(bytes)?;
        let mut instances = Vec::new();
        while let Some(instance) = reader.next(lengths.get(instances.len()).copied())? {
            instances.push(instance);
        }
        Ok(instances)
    }

    proptest! {
        #[test]
        fn instances_come_back_exactly(instances in prop::collection::vec(prop::collection::vec(0u8..4, 0..2000), 0..8)) {
            let lengths: Vec<u64> = instances.iter().map(|i| i.len() as u64).collect();
            let mut padded = pack(&instances);
            padded.extend_from_slice(&[0; 100]);
            prop_assert_eq!(unpack(&padded, &lengths).unwrap(), instances);
        }

        #[test]
        fn hostile_bytes_are_refused_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), lengths in prop::collection::vec(0u64..1000, 0..4)) {
            let _ = unpack(&bytes, &lengths);
            bytes.splice(0..0, *MAGIC);
            let _ = unpack(&bytes, &lengths);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = pack(&[vec![1; 500], vec![2; 3]]);
        for cut in 0..bytes.len() {
            assert!(unpack(&bytes[..cut], &[500, 3]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_instance_that_claims_more_than_the_manifest_says_is_refused_before_it_is_read() {
        let mut bytes = pack(&[vec![1; 500]]);
        bytes[5..13].copy_from_slice(&(1u64 << 40).to_be_bytes());
        assert!(unpack(&bytes, &[500]).is_err());
        assert!(
            unpack(&pack(&[vec![0; 1 << 20]]), &[10]).is_err(),
            "a decompression bomb"
        );
    }

    #[test]
    fn more_instances_than_the_manifest_names_are_refused() {
        assert!(unpack(&pack(&[vec![1], vec![2]]), &[1]).is_err());
    }
}
