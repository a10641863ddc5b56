//! Opening a bundle: the steps of docs/protocol.md 10.1, each possible only with the result of the
//! one before.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::attestation::Attestation;
use harpo_protocol::cell::{CellAddress, Layout, open_cell};
use harpo_protocol::domain::sha256;
use harpo_protocol::fragment;
use harpo_protocol::id::BundleId;
use harpo_protocol::identity::Credential;
use harpo_protocol::manifest::{Instance, Manifest};
use harpo_protocol::pack::{self, Contents, Entry, Heads};
use harpo_protocol::release::{Access, Release, Secrets, Source};
use harpo_protocol::retrieval::classes;
use harpo_protocol::secret::{ContentKey, MarkKey, PlacementKey};
use harpo_protocol::sign::{Signed, Verified, VerifyingKey};
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::OpeningKey;
use harpo_protocol::{Malformed, Rejected};

use crate::content::coding::{self, Decoded, Marker};
use crate::content::pipeline::{self, Bounds};

/// How far a producer's clock may be behind trust's (10.1).
const CLOCK_SKEW: Duration = Duration::from_secs(600);

/// What did not verify. Nothing of the bundle is kept.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The producer's identity is not vouched for by trust.
    #[error("the producer's credential is not trust's")]
    Credential(#[source] Rejected),
    /// The manifest is not the producer's.
    #[error("the manifest was not signed by the producer that it names")]
    Manifest(#[source] Rejected),
    /// The manifest is of something else, or not of this protocol.
    #[error("the manifest does not fit: {0}")]
    Unfit(&'static str),
    /// See the cause.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A stack's figures are not trust's.
    #[error("the stack's descriptor is not trust's")]
    Stack(#[source] Rejected),
    /// The keys were not for us, or were changed on the way.
    #[error("the release's keys do not open")]
    Secrets(#[source] Rejected),
    /// The cloud gave other bytes than trust placed there.
    #[error("fragment {index} did not verify: the stored copy is damaged or the answer was wrong")]
    Fragment {
        /// Its index in the bundle.
        index: u32,
    },
    /// Fragments were never given.
    #[error("{0} fragments are missing")]
    Incomplete(usize),
    /// The pack does not hold what the manifest says.
    #[error("the contents do not match the manifest")]
    Pack(#[from] pack::ReadError),
    /// The producer did not sign the attestation that its marks name.
    #[error("the attestation was not signed by the producer")]
    Attestation(#[source] Rejected),
    /// An instance is larger than what this gateway takes.
    #[error(
        "instance {uid} has {bytes} bytes, and this gateway takes {most} at most; see dicom.max_object_mib"
    )]
    TooLarge {
        /// Its SOPInstanceUID.
        uid: String,
        /// Its length by the manifest.
        bytes: u64,
        /// [`Bounds::object_bytes`].
        most: u64,
    },
    /// An instance's pixels or marks are not what a producer makes.
    #[error("instance {uid} does not open")]
    Decode {
        /// Its SOPInstanceUID.
        uid: String,
        /// Why.
        #[source]
        source: coding::DecodeError,
    },
    /// An instance is not the one that the producer signed for.
    #[error("instance {0} differs from the digest that its producer signed")]
    Instance(String),
    /// The disk.
    #[error("writing the opened bundle failed")]
    Io(#[from] io::Error),
}

/// A release of which everything that can be checked before fetching was checked.
#[derive(Debug)]
pub struct Checked {
    /// What the producer says.
    pub manifest: Verified<Manifest>,
    /// Who the producer is.
    pub origin: Verified<Credential>,
    /// How to get it; none if it is held.
    pub access: Option<CheckedAccess>,
}

/// Access with opened secrets, which are not shown: places, too, are nobody else's to know.
pub struct CheckedAccess {
    /// Names the permit.
    pub grant: harpo_protocol::id::Nonce,
    /// Keys and places.
    pub secrets: Secrets,
    /// The verified stack and its tickets, or none if it is in trust's cache.
    pub stack: Option<(
        Verified<StackDescriptor>,
        Vec<Signed<harpo_protocol::retrieval::Ticket>>,
    )>,
    /// Trust wants the fragments back when they were read (5.7).
    pub give_back: bool,
}

impl std::fmt::Debug for CheckedAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckedAccess(..)")
    }
}

/// Checks a release (10.1: credential, manifest; 8.4: secrets, placements, tickets).
pub fn check(
    release: &Release,
    wanted: BundleId,
    trust: &VerifyingKey,
    key: &OpeningKey,
    layout: &Layout,
) -> Result<Checked, OpenError> {
    let origin = release
        .origin
        .verify(trust)
        .map_err(OpenError::Credential)?;
    let manifest = release
        .manifest
        .verify(&origin.keys.signing)
        .map_err(OpenError::Manifest)?;
    if manifest.bundle != wanted || release.bundle != wanted {
        return Err(OpenError::Unfit("it is of another bundle"));
    }
    if manifest.origin != origin.party {
        return Err(OpenError::Unfit(
            "its origin is not the party of the credential",
        ));
    }
    let issued = Timestamp(
        origin
            .issued
            .0
            .saturating_sub(CLOCK_SKEW.as_millis() as u64),
    );
    if !(issued..=origin.expires).contains(&manifest.created) {
        return Err(OpenError::Unfit(
            "it was made outside the credential's validity",
        ));
    }
    manifest.validate()?;
    let access = match &release.access {
        None => None,
        Some(access) => Some(check_access(access, &manifest, trust, key, layout)?),
    };
    Ok(Checked {
        manifest,
        origin,
        access,
    })
}

fn check_access(
    access: &Access,
    manifest: &Manifest,
    trust: &VerifyingKey,
    key: &OpeningKey,
    layout: &Layout,
) -> Result<CheckedAccess, OpenError> {
    let secrets = Secrets::unwrap(&access.secrets, manifest.bundle, access.grant, key)
        .map_err(OpenError::Secrets)?;
    let stack = match &access.source {
        Source::Cache => None,
        Source::Stack { stack, tickets } => {
            let stack = stack.verify(trust).map_err(OpenError::Stack)?;
            check_placements(&secrets, manifest, &stack, tickets.len(), layout)?;
            Some((stack, tickets.clone()))
        }
    };
    Ok(CheckedAccess {
        grant: access.grant,
        secrets,
        give_back: access.give_back && stack.is_some(),
        stack,
    })
}

fn check_placements(
    secrets: &Secrets,
    manifest: &Manifest,
    stack: &StackDescriptor,
    tickets: usize,
    layout: &Layout,
) -> Result<(), OpenError> {
    if secrets.placements.len() != manifest.fragments.len() {
        return Err(OpenError::Unfit(
            "it has another number of placements than of fragments",
        ));
    }
    for placement in &secrets.placements {
        let known = stack.generations.iter().any(|g| {
            g.generation == placement.at.generation
                && placement.at.slot < g.figures.slots
                && placement.at.cell < layout.cells_per_slot
                && g.figures.slot_bytes == layout.slot_bytes()
        });
        if !known {
            return Err(OpenError::Unfit("a placement lies outside the stack"));
        }
    }
    if classes(distinct_slots(secrets).len() as u32).len() != tickets {
        return Err(OpenError::Unfit(
            "the tickets do not fit the number of slots",
        ));
    }
    Ok(())
}

/// The slots that hold the fragments, each once.
pub fn distinct_slots(secrets: &Secrets) -> Vec<(harpo_protocol::id::GenerationId, u32)> {
    let slots: std::collections::BTreeSet<_> = secrets
        .placements
        .iter()
        .map(|p| (p.at.generation, p.at.slot))
        .collect();
    slots.into_iter().collect()
}

/// Memory that a frame takes while it is opened, in multiples of its length: planes with and without the
/// mark, and what the mark's engine notes of them.
const WORKING: u64 = 5;

/// Memory that an instance takes while it is opened: its coding, its parts, the file, and one frame.
fn working(instance: &Instance, entry: &Entry) -> u64 {
    // At most two bytes a sample; how many frames there are is not known before the head is read.
    let frame = instance.bytes.min(2 * coding::MOST_SAMPLES as u64);
    entry
        .body
        .saturating_add(instance.bytes.saturating_mul(2))
        .saturating_add(frame * WORKING)
}

/// Whether all instances are of a size that this gateway takes. What a manifest claims may be far more than
/// what was fetched: flat pixels take next to nothing.
pub fn check_sizes(manifest: &Manifest, bounds: &Bounds) -> Result<(), OpenError> {
    let most = bounds.object_bytes;
    match manifest.instances().find(|(_, i)| i.bytes > most) {
        None => Ok(()),
        Some((_, instance)) => Err(OpenError::TooLarge {
            uid: instance.sop_instance_uid.clone(),
            bytes: instance.bytes,
            most,
        }),
    }
}

/// What was found in a bundle beside its instances.
#[derive(Clone, Debug)]
pub struct Found {
    /// The producer's, verified, and of this bundle.
    pub attestation: Signed<Attestation>,
    /// Instances all of whose frames carried the producer's reliability mark, and were as it says.
    pub authentic: u64,
    /// Instances that came without marks, or with some only.
    pub unmarked: u64,
}

/// Takes verified fragments in any order, then gives the instances.
pub struct Opener {
    manifest: Arc<Verified<Manifest>>,
    producer: VerifyingKey,
    key: ContentKey,
    layout: Layout,
    pack: File,
    /// Takes the fragments as they are sealed, one after another.
    sealed: Option<Arc<File>>,
    have: Vec<bool>,
}

impl Opener {
    /// `producer` is the key that verified the manifest; `scratch` takes the pack, which is not
    /// encrypted, like the local cache beside it.
    pub fn new(
        manifest: Arc<Verified<Manifest>>,
        producer: VerifyingKey,
        key: ContentKey,
        layout: Layout,
        scratch: File,
    ) -> Self {
        let have = vec![false; manifest.fragments.len()];
        Self {
            manifest,
            producer,
            key,
            layout,
            pack: scratch,
            sealed: None,
            have,
        }
    }

    /// Keeps the fragments of cells, too, as they are under the content key: to be given back to trust (5.7).
    pub fn keep_sealed(&mut self, file: Arc<File>) {
        self.sealed = Some(file);
    }

    /// How many fragments the bundle has.
    pub fn fragments(&self) -> u32 {
        self.have.len() as u32
    }

    /// A cell from the cloud (10.1: placement key, then as [`Opener::fragment`]).
    pub fn cell(
        &mut self,
        index: u32,
        at: CellAddress,
        key: &PlacementKey,
        cell: &[u8],
    ) -> Result<(), OpenError> {
        let fragment = open_cell(key, at, cell).map_err(|_| OpenError::Fragment { index })?;
        if let Some(sealed) = &self.sealed {
            sealed.write_all_at(&fragment, u64::from(index) * fragment.len() as u64)?;
        }
        self.fragment(index, fragment)
    }

    /// A fragment (10.1: digest, then content key with position and end).
    pub fn fragment(&mut self, index: u32, fragment: Vec<u8>) -> Result<(), OpenError> {
        let bad = || OpenError::Fragment { index };
        let expected = self
            .manifest
            .fragments
            .get(index as usize)
            .ok_or_else(bad)?;
        if sha256(&fragment) != *expected {
            return Err(bad());
        }
        let last = index as usize + 1 == self.manifest.fragments.len();
        let chunk = fragment::open(&self.key, self.manifest.bundle, index, last, fragment)
            .map_err(|_| bad())?;
        if chunk.len() != self.layout.chunk_bytes() {
            return Err(bad());
        }
        self.pack
            .write_all_at(&chunk, u64::from(index) * self.layout.chunk_bytes() as u64)?;
        self.have[index as usize] = true;
        Ok(())
    }

    /// Hands each instance to `keep`, verified, in manifest order (10.1: pack, attestation, marks,
    /// lengths, digests). Several are decoded at once, within `bounds`.
    pub fn finish(
        self,
        bounds: &Bounds,
        mut keep: impl FnMut(&Instance, &[u8]) -> io::Result<()>,
    ) -> Result<Found, OpenError> {
        let missing = self.have.iter().filter(|have| !**have).count();
        if missing > 0 {
            return Err(OpenError::Incomplete(missing));
        }
        check_sizes(&self.manifest, bounds)?;
        let instances: Vec<&Instance> = self.manifest.instances().map(|(_, i)| i).collect();
        let contents = self.contents(&instances)?;
        let attestation = contents
            .attestation
            .verify(&self.producer)
            .map_err(OpenError::Attestation)?;
        attestation.agrees(&self.manifest)?;
        let statement = contents.attestation.digest();
        let (bundle, origin) = (self.manifest.bundle, self.manifest.origin);
        let mark_key = MarkKey::derive(&self.key, bundle);
        let marker = Marker::new(&mark_key, origin, bundle, statement);
        let mut heads = Heads::new(At::new(&self.pack, contents.heads_at), &contents)?;
        let mut body_at = contents.bodies_at;
        let costs: Vec<u64> = instances
            .iter()
            .zip(&contents.entries)
            .map(|(instance, entry)| working(instance, entry))
            .collect();
        let (mut authentic, mut unmarked) = (0, 0);
        pipeline::in_order(
            bounds,
            &costs,
            |index| {
                let entry = contents.entries[index];
                let at = body_at;
                body_at += entry.body;
                Ok::<_, OpenError>((entry, at, heads.next(&entry)?))
            },
            |index, (entry, at, (head, tail))| {
                let body = read_at(&self.pack, at, entry.body)?;
                decode(instances[index], (&head, &tail), &entry, &body, &marker)
            },
            |index, decoded: Decoded| {
                if decoded.marked {
                    authentic += 1;
                } else {
                    unmarked += 1;
                }
                Ok(keep(instances[index], &decoded.file)?)
            },
        )?;
        heads.finish()?;
        Ok(Found {
            attestation: contents.attestation,
            authentic,
            unmarked,
        })
    }

    /// How the pack begins, and that nothing but padding is behind it.
    fn contents(&self, instances: &[&Instance]) -> Result<Contents, OpenError> {
        let pack_bytes = self.have.len() as u64 * self.layout.chunk_bytes() as u64;
        let lengths: Vec<u64> = instances.iter().map(|i| i.bytes).collect();
        let start = BufReader::with_capacity(64 << 10, At::new(&self.pack, 0));
        let contents = Contents::read(start, pack_bytes, &lengths)?;
        let padding = pack_bytes - contents.end();
        if padding >= self.layout.chunk_bytes() as u64
            || read_at(&self.pack, contents.end(), padding)?
                .iter()
                .any(|b| *b != 0)
        {
            return Err(OpenError::Unfit(
                "the pack holds more than the manifest names",
            ));
        }
        Ok(contents)
    }
}

/// Decodes one instance and compares it with the manifest.
fn decode(
    instance: &Instance,
    parts: (&[u8], &[u8]),
    entry: &Entry,
    body: &[u8],
    marker: &Marker,
) -> Result<Decoded, OpenError> {
    let uid = &instance.sop_instance_uid;
    let decoded = coding::decode(parts, entry, body, instance.bytes, uid, marker);
    let decoded = decoded.map_err(|source| OpenError::Decode {
        uid: uid.clone(),
        source,
    })?;
    if sha256(&decoded.file) != instance.sha256 {
        return Err(OpenError::Instance(uid.clone()));
    }
    Ok(decoded)
}

fn read_at(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    // What a claimed length allocates is on the disk: the pack's parts lie within the pack.
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// A place in a file, read forward, without moving the file's own.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> At<'a> {
    fn new(file: &'a File, at: u64) -> Self {
        Self { file, at }
    }
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
