//! Who asks. Handlers of everything but enrolment get the party from here, so that none can forget to ask; and these
//! extractors look before a body is read.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use harpo_protocol::identity::Role;
use harpo_service::http::{ApiError, Peer, Raw};

use crate::error::{TrustError, refuse};
use crate::serve::Trust;
use crate::store::parties::{self, Party};

/// Whom a route is for.
pub(super) trait Audience {
    const ROLES: &'static [Role];
}

/// Hospitals.
pub(super) struct Gateways;

impl Audience for Gateways {
    const ROLES: &'static [Role] = &[Role::Gateway];
}

/// Everybody who was enrolled.
pub(super) struct Members;

impl Audience for Members {
    const ROLES: &'static [Role] = &[Role::Gateway, Role::Cloud, Role::Relay];
}

/// The enrolled party behind a connection, of the right role and not revoked.
pub(super) struct Enrolled<A = Gateways> {
    pub(super) party: Party,
    audience: PhantomData<A>,
}

/// What such a party sends. It is looked at again when the body is there, which may be a while later.
pub(super) struct Message<A = Gateways> {
    pub(super) party: Party,
    pub(super) body: Bytes,
    audience: PhantomData<A>,
}

impl<A: Audience> FromRequestParts<Arc<Trust>> for Enrolled<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, trust: &Arc<Trust>) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, trust).await?;
        Ok(Self {
            party: identify(trust, &peer, A::ROLES).await?,
            audience: PhantomData,
        })
    }
}

impl<A: Audience> FromRequest<Arc<Trust>> for Message<A> {
    type Rejection = ApiError;

    async fn from_request(request: Request, trust: &Arc<Trust>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let peer = Peer::from_request_parts(&mut parts, trust).await?;
        identify(trust, &peer, A::ROLES).await?;
        let Raw(body) = Raw::from_request(Request::from_parts(parts, body), trust).await?;
        Ok(Self {
            party: identify(trust, &peer, A::ROLES).await?,
            body,
            audience: PhantomData,
        })
    }
}

async fn identify(trust: &Trust, peer: &Peer, roles: &[Role]) -> Result<Party, TrustError> {
    let id = peer.party().ok_or_else(refuse::unidentified)?;
    let party = parties::find(trust.store.db.read(), id)
        .await?
        .ok_or_else(|| refuse::rejected(format!("{id} is not enrolled")))?;
    if party.revoked.is_some() {
        return Err(refuse::rejected(format!("{id} was revoked")).into());
    }
    if peer.role() != Some(party.role) || !roles.contains(&party.role) {
        return Err(refuse::rejected(format!("{id} is a {}", party.role)).into());
    }
    Ok(party)
}
