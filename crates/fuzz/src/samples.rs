//! One good message of each kind.

use harpo_protocol::access::{Obligation, Purpose, Requester};
use harpo_protocol::attestation::Attestation;
use harpo_protocol::audit::{AuditHead, Checkpoint};
use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt};
use harpo_protocol::id::{BundleId, Digest, GenerationId, Nonce, PartyId};
use harpo_protocol::identity::{
    CertificateChain, CertificateRequest, Credential, EnrolRequest, EnrolResponse, GatewayKeys,
    Role, TrustInfo,
};
use harpo_protocol::manifest::{Attributes, Instance, Manifest, Series, Study};
use harpo_protocol::release::{
    Access, Notice, Placement, Release, ReleaseRequest, Secrets, Source,
};
use harpo_protocol::replacement::{Errand, ErrandSecrets};
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::rounds::{Round, RoundStack};
use harpo_protocol::search::{
    Level, LocateRequest, LocateResponse, Located, SearchRequest, SearchResponse,
};
use harpo_protocol::sign::{Signed, SigningKey, Statement};
use harpo_protocol::stack::{
    Figures, GenerationStatus, SealRequest, SealedGeneration, SlotProofRequest, SlotProofs,
    StackDescriptor,
};
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::Wrapped;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde::Serialize;
use serde_json::json;

use crate::sealed;

/// The key that signs the samples.
pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

/// Digests of all signed samples.
pub(crate) fn statement_digests() -> Vec<Digest> {
    vec![
        sign(&ticket()).digest(),
        sign(&manifest()).digest(),
        sign(&descriptor()).digest(),
        sign(&credential()).digest(),
        sign(&trust_info()).digest(),
        sign(&receipt()).digest(),
        sign(&checkpoint()).digest(),
        sign(&attestation()).digest(),
    ]
}

/// Name and JSON of each signed sample.
pub(crate) fn signed() -> Vec<(&'static str, String)> {
    vec![
        ("ticket", sign(&ticket()).to_json()),
        ("manifest", sign(&manifest()).to_json()),
        ("stack", sign(&descriptor()).to_json()),
        ("credential", sign(&credential()).to_json()),
        ("trust_info", sign(&trust_info()).to_json()),
        ("receipt", sign(&receipt()).to_json()),
        ("checkpoint", sign(&checkpoint()).to_json()),
        ("attestation", sign(&attestation()).to_json()),
    ]
}

/// Name and JSON of each message.
pub(crate) fn messages() -> Vec<(&'static str, String)> {
    vec![
        ("manifest", text(&manifest())),
        ("trust_info", text(&trust_info())),
        ("ticket", text(&ticket())),
        ("stack", text(&descriptor())),
        ("credential", text(&credential())),
        ("receipt", text(&receipt())),
        ("checkpoint", text(&checkpoint())),
        ("attestation", text(&attestation())),
        ("release", text(&release())),
        ("round", text(&round())),
        ("errand_secrets", text(&errand_secrets())),
        ("release_request", text(&release_request())),
        ("secrets", text(&secrets())),
        ("notice", text(&notice())),
        ("deposit_request", text(&deposit_request())),
        (
            "deposit_status",
            text(&DepositStatus {
                missing: vec![0, 7],
            }),
        ),
        ("search_request", text(&search_request())),
        ("search_response", text(&search_response())),
        ("locate_request", text(&locate_request())),
        ("locate_response", text(&locate_response())),
        ("seal_request", text(&seal_request())),
        (
            "generation_open",
            text(&GenerationStatus::Open { slots: 3 }),
        ),
        ("generation_sealing", text(&GenerationStatus::Sealing)),
        ("generation_sealed", text(&generation_sealed())),
        ("slot_proof_request", text(&slot_proof_request())),
        (
            "slot_proofs",
            text(&SlotProofs {
                proofs: vec![DIGEST],
            }),
        ),
        ("enrol_request", text(&enrol_request())),
        ("enrol_response", text(&enrol_response())),
        ("certificate_request", text(&certificate_request())),
        (
            "certificate_chain",
            text(&CertificateChain { chain: PEM.into() }),
        ),
    ]
}

const DIGEST: Digest = Digest([7; 32]);
const PARTY: PartyId = PartyId([1; 16]);
const BUNDLE: BundleId = sealed::BUNDLE;
const NONCE: Nonce = Nonce([5; 16]);
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap()
}

fn sign<T: Statement>(statement: &T) -> Signed<T> {
    key().sign(statement)
}

/// A ticket, signed.
pub(crate) fn signed_ticket() -> Signed<Ticket> {
    sign(&ticket())
}

/// A secret wrapped to the key of the targets.
pub(crate) fn wrapped() -> Wrapped {
    let (purpose, object, secret) = sealed::WRAPPED;
    let to = sealed::opening_key().sealing_key();
    to.wrap(secret, purpose, object, &mut ChaCha20Rng::seed_from_u64(4))
        .unwrap()
}

fn ticket() -> Ticket {
    Ticket {
        nonce: NONCE,
        generations: vec![GenerationId([2; 16]), GenerationId([3; 16])],
        queries: 4,
        expires: NOW,
    }
}

fn attributes() -> Attributes {
    // Members in alphabetical order: serde_json keeps the order or sorts, as its other users in a build want it.
    let value = json!({"Value": [{"Alphabetic": "Doe^Jane"}], "vr": "PN"});
    let number = json!({"Value": [0.5, -3, 1e300, null], "vr": "DS"});
    [("00100010".into(), value), ("00280030".into(), number)].into()
}

fn manifest() -> Manifest {
    let instance = Instance {
        sop_instance_uid: "1.2.3.4.1".into(),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        attributes: attributes(),
        bytes: 532_480,
        sha256: DIGEST,
        dataset_sha256: DIGEST,
    };
    Manifest {
        bundle: BUNDLE,
        origin: PARTY,
        creator: "CT1".into(),
        created: NOW,
        study: Study {
            study_instance_uid: "1.2.3".into(),
            patient_id: "p".into(),
            attributes: attributes(),
            series: vec![Series {
                series_instance_uid: "1.2.3.4".into(),
                attributes: Attributes::new(),
                instances: vec![instance],
            }],
        },
        fragments: vec![DIGEST, Digest([8; 32])],
    }
}

fn figures() -> Figures {
    Figures {
        slots: 256,
        slot_bytes: 4 << 20,
        parameter_set: 1,
        interleave: 8,
        seed: DIGEST,
    }
}

fn descriptor() -> StackDescriptor {
    StackDescriptor {
        generations: vec![SealedGeneration {
            generation: GenerationId([2; 16]),
            figures: figures(),
            slots: DIGEST,
            hint: DIGEST,
            hint_bytes: 106_045_480,
        }],
        issued: NOW,
    }
}

pub(crate) fn attestation() -> Attestation {
    Attestation::of(&manifest())
}

fn keys() -> GatewayKeys {
    GatewayKeys {
        signing: key().verifying_key(),
        sealing: sealed::opening_key().sealing_key(),
    }
}

fn credential() -> Credential {
    Credential {
        party: PARTY,
        name: "St. Elsewhere".into(),
        keys: keys(),
        issued: NOW,
        expires: NOW,
    }
}

fn trust_info() -> TrustInfo {
    TrustInfo {
        sealing_key: keys().sealing,
        layout: Layout::DEFAULT,
        cloud_url: "https://cloud.example:8443".into(),
        issued: NOW,
        unmarked_modalities: vec!["US".into()],
        rounds: None,
        at_once_for: Vec::new(),
        relay: None,
    }
}

fn head() -> AuditHead {
    AuditHead {
        number: 12,
        hash: DIGEST,
    }
}

fn receipt() -> Receipt {
    Receipt {
        bundle: BUNDLE,
        manifest: DIGEST,
        depositor: PARTY,
        received: NOW,
        audit: head(),
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        head: head(),
        at: NOW,
    }
}

fn requester() -> Requester {
    Requester {
        user: "dr.house".into(),
        role: "physician".into(),
        purpose: Purpose::Treat,
    }
}

fn release_request() -> ReleaseRequest {
    ReleaseRequest {
        requester: requester(),
        bundle: BUNDLE,
        held: false,
    }
}

fn release() -> Release {
    Release {
        bundle: BUNDLE,
        manifest: sign(&manifest()),
        origin: sign(&credential()),
        obligations: vec![Obligation::NotifyOrigin, Obligation::TraceExport],
        access: Some(Access {
            grant: NONCE,
            secrets: wrapped(),
            source: Source::Stack {
                stack: sign(&descriptor()),
                tickets: vec![signed_ticket()],
            },
            give_back: false,
        }),
    }
}

fn round() -> Round {
    Round {
        number: 28_000_000,
        stack: Some(RoundStack {
            stack: sign(&descriptor()),
            ticket: signed_ticket(),
        }),
        errand: Some(Errand {
            bundle: BUNDLE,
            grant: NONCE,
            secrets: wrapped(),
        }),
    }
}

fn errand_secrets() -> ErrandSecrets {
    ErrandSecrets {
        placements: secrets().placements,
    }
}

fn secrets() -> Secrets {
    Secrets {
        content_key: sealed::content_key(),
        placements: vec![Placement {
            at: sealed::PLACE,
            key: sealed::placement_key(),
        }],
    }
}

fn notice() -> Notice {
    Notice {
        number: 3,
        at: NOW,
        bundle: BUNDLE,
        consumer: "St. Elsewhere".into(),
        requester: requester(),
        obligations: vec![Obligation::SecondReview],
    }
}

fn deposit_request() -> DepositRequest {
    DepositRequest {
        manifest: sign(&manifest()),
        content_key: wrapped(),
    }
}

fn search_request() -> SearchRequest {
    SearchRequest {
        requester: requester(),
        level: Level::Study,
        matching: [("00100020".into(), "4711*".into())].into(),
        limit: 100,
        offset: 0,
    }
}

fn search_response() -> SearchResponse {
    SearchResponse {
        rows: vec![attributes(), Attributes::new()],
        more: true,
    }
}

fn locate_request() -> LocateRequest {
    LocateRequest {
        requester: requester(),
        study_instance_uid: "1.2.3".into(),
    }
}

fn locate_response() -> LocateResponse {
    LocateResponse {
        bundles: vec![Located {
            bundle: BUNDLE,
            origin: PARTY,
            instances: 54,
        }],
    }
}

fn seal_request() -> SealRequest {
    SealRequest {
        figures: figures(),
        slots: DIGEST,
    }
}

fn generation_sealed() -> GenerationStatus {
    GenerationStatus::Sealed {
        slots: DIGEST,
        hint: DIGEST,
        hint_bytes: 106_045_480,
    }
}

fn slot_proof_request() -> SlotProofRequest {
    SlotProofRequest {
        nonce: NONCE,
        slots: vec![0, 5],
    }
}

fn enrol_request() -> EnrolRequest {
    EnrolRequest {
        secret: "ab".repeat(16),
        certificate_request: PEM.into(),
        server_names: vec!["gateway.example".into(), "127.0.0.1".into()],
        keys: Some(keys()),
    }
}

fn enrol_response() -> EnrolResponse {
    EnrolResponse {
        party: PARTY,
        role: Role::Gateway,
        chain: PEM.into(),
        trust_key: key().verifying_key(),
        credential: Some(sign(&credential())),
    }
}

fn certificate_request() -> CertificateRequest {
    CertificateRequest {
        certificate_request: PEM.into(),
        server_names: vec![],
    }
}
