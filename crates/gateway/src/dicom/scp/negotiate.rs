//! Which associations and presentation contexts are accepted (PS3.8 section 9.3).

use std::collections::HashMap;

use dicom_encoding::TransferSyntaxIndex as _;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult,
    AssociationRJServiceProviderASCEReason as Acse,
    AssociationRJServiceProviderPresentationReason as Presentation,
    AssociationRJServiceUserReason as User, AssociationRJSource, AssociationRQ,
    PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason as Reason, UserVariableItem,
};

use super::ScpConfig;
use crate::dicom::uid;
use crate::dicom::wire::MAX_PDU_BYTES;

/// Storage SOP classes live here, but for the few of [`OTHER_STORAGE`] and private ones.
const STORAGE_PREFIX: &str = "1.2.840.10008.5.1.4.1.1.";
/// RT Beams and RT Brachy delivery instructions.
const OTHER_STORAGE: &[&str] = &[
    "1.2.840.10008.5.1.4.34.1",
    "1.2.840.10008.5.1.4.34.7",
    "1.2.840.10008.5.1.4.34.10",
];
const STANDARD_PREFIX: &str = "1.2.840.10008.";

/// An accepted association.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) calling: String,
    /// The requester's limit on the units we send, 0 for none.
    pub(super) peer_max: u32,
    /// Abstract and transfer syntax by presentation context.
    pub(super) contexts: HashMap<u8, (String, String)>,
}

/// Rejects because every place is taken.
pub(super) fn full() -> AssociationRJ {
    AssociationRJ {
        result: AssociationRJResult::Transient,
        source: AssociationRJSource::ServiceProviderPresentation(Presentation::LocalLimitExceeded),
    }
}

/// The answer to a request.
pub(super) fn decide(
    config: &ScpConfig,
    request: &AssociationRQ,
) -> Result<(AssociationAC, Agreed), AssociationRJ> {
    let user = |reason| AssociationRJ {
        result: AssociationRJResult::Permanent,
        source: AssociationRJSource::ServiceUser(reason),
    };
    if request.protocol_version & 1 == 0 {
        return Err(AssociationRJ {
            result: AssociationRJResult::Permanent,
            source: AssociationRJSource::ServiceProviderASCE(Acse::ProtocolVersionNotSupported),
        });
    }
    if request.application_context_name.trim_end_matches('\0') != uid::APPLICATION_CONTEXT {
        return Err(user(User::ApplicationContextNameNotSupported));
    }
    if !allowed(&config.ae_titles, &request.called_ae_title) {
        return Err(user(User::CalledAETitleNotRecognized));
    }
    if !allowed(&config.calling_ae_titles, &request.calling_ae_title) {
        return Err(user(User::CallingAETitleNotRecognized));
    }
    let presentation_contexts: Vec<_> = request.presentation_contexts.iter().map(answer).collect();
    let contexts = request
        .presentation_contexts
        .iter()
        .zip(&presentation_contexts)
        .filter(|(_, result)| result.reason == Reason::Acceptance)
        .map(|(asked, result)| {
            (
                asked.id,
                (
                    trimmed(&asked.abstract_syntax).to_owned(),
                    result.transfer_syntax.clone(),
                ),
            )
        })
        .collect();
    let peer_max = request.user_variables.iter().find_map(|v| match v {
        UserVariableItem::MaxLength(n) => Some(*n),
        _ => None,
    });
    let accepted = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: uid::APPLICATION_CONTEXT.to_owned(),
        presentation_contexts,
        user_variables: vec![
            UserVariableItem::MaxLength(MAX_PDU_BYTES),
            UserVariableItem::ImplementationClassUID(uid::IMPLEMENTATION_CLASS.to_owned()),
            UserVariableItem::ImplementationVersionName(uid::IMPLEMENTATION_VERSION.to_owned()),
        ],
    };
    let agreed = Agreed {
        calling: request.calling_ae_title.clone(),
        peer_max: peer_max.unwrap_or(0),
        contexts,
    };
    Ok((accepted, agreed))
}

fn allowed(titles: &[String], title: &str) -> bool {
    titles.is_empty() || titles.iter().any(|t| t == title)
}

fn trimmed(uid: &str) -> &str {
    uid.trim_matches([' ', '\0'])
}

fn answer(asked: &PresentationContextProposed) -> PresentationContextResult {
    let result = |reason, transfer_syntax: &str| PresentationContextResult {
        id: asked.id,
        reason,
        transfer_syntax: transfer_syntax.to_owned(),
    };
    if !is_served(trimmed(&asked.abstract_syntax)) {
        return result(Reason::AbstractSyntaxNotSupported, uid::IMPLICIT_LE);
    }
    let known: Vec<&str> = asked
        .transfer_syntaxes
        .iter()
        .map(|uid| trimmed(uid))
        .filter(|uid| TransferSyntaxRegistry.get(uid).is_some())
        .collect();
    let native = [uid::IMPLICIT_LE, uid::EXPLICIT_LE, uid::EXPLICIT_BE];
    match known.first() {
        None => result(Reason::TransferSyntaxesNotSupported, uid::IMPLICIT_LE),
        // Explicit little endian loses nothing against the other two, which lose private VRs or
        // are retired; a compressed first choice is kept, so that nothing is decompressed for us.
        Some(first) if native.contains(first) && known.contains(&uid::EXPLICIT_LE) => {
            result(Reason::Acceptance, uid::EXPLICIT_LE)
        }
        Some(first) => result(Reason::Acceptance, first),
    }
}

fn is_served(abstract_syntax: &str) -> bool {
    if !uid::is_valid(abstract_syntax) {
        return false;
    }
    abstract_syntax == uid::VERIFICATION
        || abstract_syntax.starts_with(STORAGE_PREFIX)
        || OTHER_STORAGE.contains(&abstract_syntax)
        || !abstract_syntax.starts_with(STANDARD_PREFIX)
}
