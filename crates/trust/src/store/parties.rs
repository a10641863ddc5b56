//! Parties and enrolment codes (docs/protocol.md 2).

use harpo_protocol::id::{Digest, PartyId};
use harpo_protocol::identity::{Credential, Role};
use harpo_protocol::sign::Signed;
use harpo_protocol::time::Timestamp;
use sqlx::SqliteConnection;

use super::bytes;
use crate::error::{TrustError, damaged};

/// A party that was enrolled.
#[derive(Clone, Debug)]
pub struct Party {
    /// Who.
    pub id: PartyId,
    /// As what.
    pub role: Role,
    /// The name that the operator gave it.
    pub name: String,
    /// Since when.
    pub enrolled: Timestamp,
    /// When it was shut out, if it was.
    pub revoked: Option<Timestamp>,
    /// Its signed keys; gateways only.
    pub credential: Option<Signed<Credential>>,
}

type Row = (Vec<u8>, String, String, i64, Option<i64>, Option<String>);

fn party(row: Row) -> Result<Party, TrustError> {
    let (id, role, name, enrolled, revoked, credential) = row;
    Ok(Party {
        id: bytes!(PartyId, id)?,
        role: role.parse().map_err(|_| damaged("a role"))?,
        name,
        enrolled: Timestamp(enrolled as u64),
        revoked: revoked.map(|at| Timestamp(at as u64)),
        credential: credential
            .map(|text| Signed::from_json(&text))
            .transpose()
            .map_err(|_| damaged("a credential"))?,
    })
}

pub(crate) async fn find(
    db: impl sqlx::SqliteExecutor<'_>,
    id: PartyId,
) -> Result<Option<Party>, TrustError> {
    sqlx::query_as::<_, Row>(
        "SELECT id, role, name, enrolled, revoked, credential FROM party WHERE id = ?",
    )
    .bind(id.0.as_slice())
    .fetch_optional(db)
    .await?
    .map(party)
    .transpose()
}

pub(crate) async fn all(db: impl sqlx::SqliteExecutor<'_>) -> Result<Vec<Party>, TrustError> {
    sqlx::query_as::<_, Row>(
        "SELECT id, role, name, enrolled, revoked, credential FROM party ORDER BY enrolled, id",
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(party)
    .collect()
}

pub(crate) async fn insert(tx: &mut SqliteConnection, party: &Party) -> Result<(), TrustError> {
    sqlx::query("INSERT INTO party (id, role, name, enrolled, credential) VALUES (?, ?, ?, ?, ?)")
        .bind(party.id.0.as_slice())
        .bind(party.role.to_string())
        .bind(&party.name)
        .bind(party.enrolled.0 as i64)
        .bind(party.credential.as_ref().map(Signed::to_json))
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether it was enrolled and not revoked before.
pub(crate) async fn revoke(
    tx: &mut SqliteConnection,
    id: PartyId,
    at: Timestamp,
) -> Result<bool, TrustError> {
    let done = sqlx::query("UPDATE party SET revoked = ? WHERE id = ? AND revoked IS NULL")
        .bind(at.0 as i64)
        .bind(id.0.as_slice())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// An enrolment code as trust keeps it.
pub(crate) struct Code {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) expires: Timestamp,
    /// Digest of the request that spent it, and what was answered.
    pub(crate) spent: Option<(Digest, String)>,
}

pub(crate) async fn insert_code(
    tx: &mut SqliteConnection,
    secret: Digest,
    role: Role,
    name: &str,
    expires: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query("INSERT INTO enrol_code (secret, role, name, expires) VALUES (?, ?, ?, ?)")
        .bind(secret.0.as_slice())
        .bind(role.to_string())
        .bind(name)
        .bind(expires.0 as i64)
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn find_code(
    tx: &mut SqliteConnection,
    secret: Digest,
) -> Result<Option<Code>, TrustError> {
    type Row = (String, String, i64, Option<Vec<u8>>, Option<String>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT role, name, expires, request, answer FROM enrol_code WHERE secret = ?",
    )
    .bind(secret.0.as_slice())
    .fetch_optional(tx)
    .await?;
    let Some((role, name, expires, request, answer)) = row else {
        return Ok(None);
    };
    let spent = match (request, answer) {
        (Some(request), Some(answer)) => Some((bytes!(Digest, request)?, answer)),
        _ => None,
    };
    Ok(Some(Code {
        role: role.parse().map_err(|_| damaged("a role"))?,
        name,
        expires: Timestamp(expires as u64),
        spent,
    }))
}

pub(crate) async fn spend_code(
    tx: &mut SqliteConnection,
    secret: Digest,
    party: PartyId,
    request: Digest,
    answer: &str,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE enrol_code SET party = ?, request = ?, answer = ? WHERE secret = ?")
        .bind(party.0.as_slice())
        .bind(request.0.as_slice())
        .bind(answer)
        .bind(secret.0.as_slice())
        .execute(tx)
        .await?;
    Ok(())
}
