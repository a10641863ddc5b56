//! Joining, renewing, passes (docs/protocol.md 2).

use std::time::Duration;

use harpo_protocol::domain::hash;
use harpo_protocol::id::PartyId;
use harpo_protocol::identity::{
    CertificateChain, CertificateRequest, Credential, EnrolRequest, EnrolResponse, EnrolSecret,
    Role,
};
use harpo_protocol::sign::Signed;
use harpo_protocol::time::Timestamp;
use harpo_service::random;
use harpo_service::tls::{Subject, TlsError};

use crate::audit::Event;
use crate::error::{TrustError, damaged, refuse};
use crate::refusals::{self, Refusal};
use crate::serve::Trust;
use crate::store::parties::{self, Code, Party};

/// How long manifests of a party are accepted: nearly as long as the authority lives.
const CREDENTIAL_VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Most server names of one party, and bytes of one.
const MAX_NAMES: usize = 16;
const MAX_NAME_BYTES: usize = 253;

/// Enrols a party with a one-time code (2.3). `body` is the request as it came.
pub(crate) async fn enrol(trust: &Trust, body: &[u8]) -> Result<EnrolResponse, TrustError> {
    match try_enrol(trust, body).await {
        Err(TrustError::Refused(refusal)) => {
            refusals::note(trust, Refusal::new(None, None, &refusal)).await?;
            Err(refusal.into())
        }
        other => other,
    }
}

async fn try_enrol(trust: &Trust, body: &[u8]) -> Result<EnrolResponse, TrustError> {
    let request: EnrolRequest =
        serde_json::from_slice(body).map_err(|e| refuse::malformed(e.to_string()))?;
    let secret = EnrolSecret::from_text(&request.secret)
        .map_err(|e| refuse::malformed(e.to_string()))?
        .digest();
    let digest = hash("enrol-request", &[body]);
    let mut tx = trust.store.db.begin("enrol").await?;
    let code = parties::find_code(&mut tx, secret)
        .await?
        .ok_or_else(|| refuse::rejected("an enrolment code that was never issued"))?;
    if let Some((spent_by, answer)) = &code.spent {
        if *spent_by != digest {
            return Err(refuse::rejected("an enrolment code that was spent before").into());
        }
        // The answer was lost on the way: say it again, also when the code is too old by now.
        let answer: EnrolResponse =
            serde_json::from_str(answer).map_err(|_| damaged("an enrolment"))?;
        let known = parties::find(&mut *tx, answer.party).await?;
        if known.is_none_or(|party| party.revoked.is_some()) {
            return Err(refuse::rejected("a revoked party that repeats its enrolment").into());
        }
        return Ok(answer);
    }
    let now = trust.store.now();
    if now > code.expires {
        return Err(refuse::expired("the enrolment code is too old; ask for a new one").into());
    }
    let (party, response) = admit(trust, &code, &request, now)?;
    parties::insert(&mut tx, &party).await?;
    let answer = serde_json::to_string(&response).map_err(|_| damaged("an enrolment"))?;
    parties::spend_code(&mut tx, secret, party.id, digest, &answer).await?;
    let event = Event::Enrolled {
        party: party.id,
        role: party.role,
        name: party.name,
    };
    trust.store.audit(&mut tx, event).await?;
    tx.commit().await?;
    Ok(response)
}

fn admit(
    trust: &Trust,
    code: &Code,
    request: &EnrolRequest,
    now: Timestamp,
) -> Result<(Party, EnrolResponse), TrustError> {
    let id = PartyId::random(&mut random::system());
    let chain = issue(
        trust,
        &request.certificate_request,
        Subject {
            role: code.role,
            party: id,
            server_names: request.server_names.clone(),
        },
        trust.config.validity(),
        now,
    )?;
    let credential = match (code.role, &request.keys) {
        (Role::Gateway, Some(keys)) => Some(trust.store.signing.sign(&Credential {
            party: id,
            name: code.name.clone(),
            keys: keys.clone(),
            issued: now,
            expires: now.after(CREDENTIAL_VALIDITY),
        })),
        (Role::Gateway, None) => {
            return Err(
                refuse::malformed("a gateway must send its signing and sealing key").into(),
            );
        }
        (_, None) => None,
        (role, Some(_)) => {
            return Err(
                refuse::malformed(format!("a {role} has no signing or sealing key")).into(),
            );
        }
    };
    let party = Party {
        id,
        role: code.role,
        name: code.name.clone(),
        enrolled: now,
        revoked: None,
        credential: credential.clone(),
    };
    let response = EnrolResponse {
        party: id,
        role: code.role,
        chain,
        trust_key: trust.store.signing.verifying_key(),
        credential,
    };
    Ok((party, response))
}

/// Issues a certificate; what is wrong with the request is told to whoever asked.
fn issue(
    trust: &Trust,
    certificate_request: &str,
    subject: Subject,
    validity: Duration,
    now: Timestamp,
) -> Result<String, TrustError> {
    let names = &subject.server_names;
    if names.len() > MAX_NAMES || names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
        return Err(refuse::malformed(format!(
            "at most {MAX_NAMES} server names of {MAX_NAME_BYTES} bytes"
        ))
        .into());
    }
    trust
        .authority
        .issue(certificate_request, &subject, validity, now)
        .map_err(|error| match error {
            TlsError::Request(_) | TlsError::Malformed { .. } => {
                refuse::malformed(error.to_string()).into()
            }
            other => other.into(),
        })
}

/// A new certificate for the same party (2.5).
pub(crate) async fn renew(
    trust: &Trust,
    party: &Party,
    request: &CertificateRequest,
) -> Result<CertificateChain, TrustError> {
    let subject = Subject {
        role: party.role,
        party: party.id,
        server_names: request.server_names.clone(),
    };
    let validity = trust.config.validity();
    let now = trust.store.now();
    let chain = issue(trust, &request.certificate_request, subject, validity, now)?;
    let event = Event::Renewed { party: party.id };
    trust.store.audit_alone(event).await?;
    Ok(CertificateChain { chain })
}

/// A pass: a certificate that names nobody (2.6). Not in the audit log: what links a pass to a hospital
/// should not be written down.
pub(crate) fn pass(
    trust: &Trust,
    request: &CertificateRequest,
) -> Result<CertificateChain, TrustError> {
    if !request.server_names.is_empty() {
        return Err(refuse::malformed("a pass has no server names").into());
    }
    let subject = Subject {
        role: Role::Pass,
        party: PartyId::random(&mut random::system()),
        server_names: Vec::new(),
    };
    let validity = Duration::from_secs(60 * u64::from(trust.config.certificates.pass_minutes));
    // The cloud sees the validity: to the minute, so that it is shared by many passes.
    let now = trust.store.now().minute_before();
    let chain = issue(trust, &request.certificate_request, subject, validity, now)?;
    Ok(CertificateChain { chain })
}

/// The keys of a gateway, by trust's own signature.
pub(crate) fn credential(
    trust: &Trust,
    party: &Party,
) -> Result<(Signed<Credential>, Credential), TrustError> {
    let signed = party
        .credential
        .clone()
        .ok_or_else(|| damaged("a credential"))?;
    let verified = signed
        .verify(&trust.store.signing.verifying_key())
        .map_err(|_| damaged("a credential"))?;
    Ok((signed, verified.into_inner()))
}
