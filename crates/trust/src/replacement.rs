//! Re-placement (docs/protocol.md 5.7): what gateways give back goes into the open generation under new keys.
//!
//! Until the transaction that places a bundle anew it is read from its old place, after it from the upload cache. The
//! cache holds its fragments from before that transaction until the new generation is sealed: nobody removes them
//! without looking, under the bundle's lock, whether they are wanted ([`remove_unwanted`]).

use std::time::Duration;

use bytes::Bytes;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, Nonce};
use harpo_protocol::replacement::{Errand, ErrandSecrets, Room, Rule, draw};
use harpo_protocol::time::Timestamp;
use harpo_service::random;
use sqlx::SqliteConnection;

use crate::audit::Event;
use crate::deposit;
use crate::enrolment;
use crate::error::{TrustError, damaged, refuse};
use crate::serve::Trust;
use crate::store::bundles::{self, Bundle, State};
use crate::store::give_back::{self, Grant};
use crate::store::parties::Party;
use crate::store::{generations, slots};

/// How long a bundle can be given back: rounds of older stacks are far between.
const LASTS: Duration = Duration::from_secs(6 * 3600);

/// Whether the consumer of a bundle in a stack is to give it back under this grant; if so, it may from now on. Also if
/// others may: whether they do is not for it to know. What it may give back at one time has the limit of what it may
/// deposit.
pub(crate) async fn ask_back(
    trust: &Trust,
    tx: &mut SqliteConnection,
    party: &Party,
    bundle: &Bundle,
    grant: Nonce,
) -> Result<bool, TrustError> {
    let now = trust.store.now();
    let layout = trust.config.layout();
    if !trust.config.replacement.after_read || bundle.fragments > layout.capacity() {
        return Ok(false);
    }
    let others = give_back::fragments(&mut *tx, party.id, bundle.number, now).await?;
    let bytes = (others + u64::from(bundle.fragments)) * layout.fragment_bytes() as u64;
    if bytes > u64::from(trust.config.limits.max_cached_mib_per_party) << 20 {
        return Ok(false);
    }
    give_back::grant(tx, grant, party.id, bundle, None, now.after(LASTS)).await?;
    Ok(true)
}

/// Whether a party that has `own` slots of errands under way may have `more`: a quarter of what all may bring, or one
/// bundle. One that finishes nothing holds up only that.
fn is_fair(rule: &Rule, slots: u32, own: u32, more: u32) -> bool {
    let allowance = rule.old_share * f64::from(slots);
    own == 0 || f64::from(own) + f64::from(more) <= allowance / 4.0
}

/// Something old of the party's own in this stack, if errands have room left and the party has none there: a hospital
/// learns where nothing lies that it did not deposit.
pub(crate) async fn errand(
    trust: &Trust,
    tx: &mut SqliteConnection,
    party: &Party,
    stack: i64,
) -> Result<Option<Errand>, TrustError> {
    let (rule, now) = (trust.config.replacement.rule(), trust.store.now());
    if rule.old_share <= 0.0 || give_back::has_errand(&mut *tx, party.id, stack, now).await? {
        return Ok(None);
    }
    let Some((slots, brought)) = generations::room(&mut *tx).await? else {
        return Ok(None);
    };
    let (under_way, own) = give_back::errand_slots(&mut *tx, party.id, now).await?;
    let room = Room {
        slots,
        brought,
        under_way,
    };
    // Most often there is none: the candidates need not be listed.
    if !rule.allows(slots, brought, under_way, 1) || !is_fair(&rule, slots, own, 1) {
        return Ok(None);
    }
    let cells = u32::from(trust.config.layout().cells_per_slot);
    let candidates: Vec<_> = give_back::candidates(&mut *tx, party.id, stack, now)
        .await?
        .into_iter()
        .map(|(bundle, fragments)| {
            let slots = fragments.div_ceil(cells);
            ((bundle, slots), slots)
        })
        .collect();
    let rng = &mut random::system();
    let Some((id, slots)) =
        draw(&rule, room, &candidates, rng).filter(|(_, more)| is_fair(&rule, slots, own, *more))
    else {
        return Ok(None);
    };
    let bundle = bundles::find(&mut *tx, id)
        .await?
        .ok_or_else(|| damaged("a bundle"))?;
    let (_, consumer) = enrolment::credential(trust, party)?;
    let grant = Nonce::random(rng);
    let secrets = ErrandSecrets {
        placements: slots::placements(tx, bundle.number).await?,
    };
    let secrets = secrets.wrap(id, grant, &consumer.keys.sealing, rng)?;
    give_back::grant(tx, grant, party.id, &bundle, Some(slots), now.after(LASTS)).await?;
    Ok(Some(Errand {
        bundle: id,
        grant,
        secrets,
    }))
}

/// Whether fragments of a bundle belong into the cache: it is read from there, or somebody is giving it back.
pub(crate) async fn is_wanted(
    db: &sqlx::SqlitePool,
    bundle: &Bundle,
    now: Timestamp,
) -> Result<bool, TrustError> {
    Ok(bundle.is_cached()
        || bundle.state == State::Placed && give_back::is_under_way(db, bundle, now).await?)
}

/// Removes a bundle's fragments from the cache, unless they are wanted there. Whether there was nothing to keep.
pub(crate) async fn remove_unwanted(trust: &Trust, id: BundleId) -> Result<bool, TrustError> {
    // Before the database is looked at: what it says stays true until the fragments are gone.
    let removing = trust.cache.removing(id).await;
    let db = trust.store.db.read();
    if let Some(bundle) = bundles::find(db, id).await?
        && is_wanted(db, &bundle, trust.store.now()).await?
    {
        return Ok(false);
    }
    removing.remove().await?;
    Ok(true)
}

/// The bundle, and the party's grant to give it back.
async fn granted(
    db: &mut SqliteConnection,
    party: &Party,
    id: BundleId,
    grant: Nonce,
) -> Result<(Bundle, Grant), TrustError> {
    let granted = give_back::find(&mut *db, grant, party.id, id)
        .await?
        .ok_or_else(|| refuse::rejected("a bundle given back without a grant"))?;
    let bundle = bundles::find(db, id)
        .await?
        .filter(|bundle| bundle.state == State::Placed)
        .ok_or_else(|| refuse::not_found("no such bundle, or it was erased"))?;
    Ok((bundle, granted))
}

fn refuse_expired(grant: &Grant, now: Timestamp) -> Result<(), TrustError> {
    if now <= grant.expires {
        return Ok(());
    }
    Err(refuse::expired("the grant to give the bundle back is too old; drop it").into())
}

/// Stores one fragment that comes back. What others have given back already is dropped, and not refused: that they have
/// is not for this party to know.
pub(crate) async fn put_fragment(
    trust: &Trust,
    party: &Party,
    id: BundleId,
    fragment: u32,
    grant: Nonce,
    bytes: Bytes,
) -> Result<(), TrustError> {
    // Before the database is looked at: nobody removes the bundle's fragments in between.
    let storing = trust.cache.storing(id).await;
    let mut db = trust.store.db.read().acquire().await?;
    let (bundle, granted) = granted(&mut db, party, id, grant).await?;
    refuse_expired(&granted, trust.store.now())?;
    if fragment >= bundle.fragments {
        return Err(
            refuse::not_found(format!("the bundle has {} fragments", bundle.fragments)).into(),
        );
    }
    let expected = trust.config.layout().fragment_bytes();
    if bytes.len() != expected {
        return Err(refuse::malformed(format!(
            "a fragment of {} bytes; it must have {expected}",
            bytes.len()
        ))
        .into());
    }
    let digest = bundles::fragment_digest(&mut *db, bundle.number, fragment).await?;
    drop(db);
    if sha256(&bytes) != digest {
        return Err(refuse::rejected("a fragment that its manifest does not list").into());
    }
    if bundle.generation != Some(granted.generation) {
        return Ok(());
    }
    storing.put(fragment, bytes).await?;
    // The operator's process, which erases, does not wait for this one's locks.
    let db = trust.store.db.read();
    if bundles::find(db, id)
        .await?
        .is_none_or(|bundle| bundle.state == State::Erased)
    {
        remove_unwanted(trust, id).await?;
    }
    Ok(())
}

/// Places a bundle anew, all of whose fragments are back; nothing if that was done before, by whomever. What an errand
/// brings is not wanted while the open generation is empty.
pub(crate) async fn complete(
    trust: &Trust,
    party: &Party,
    id: BundleId,
    grant: Nonce,
) -> Result<(), TrustError> {
    let mut tx = trust.store.db.begin("replace").await?;
    let (bundle, granted) = granted(&mut tx, party, id, grant).await?;
    refuse_expired(&granted, trust.store.now())?;
    if bundle.generation != Some(granted.generation) {
        return Ok(());
    }
    if granted.is_errand && generations::room(&mut *tx).await?.is_none() {
        // Sealing came in between. An errand that began the next generation would have it sealed some time later, and
        // others would come with it: an idle network would go on writing for ever.
        give_back::remove(&mut tx, grant).await?;
        tx.commit().await?;
        remove_unwanted(trust, id).await?;
        return Err(refuse::not_wanted().into());
    }
    // Nobody removes fragments from here until the database says where they are needed.
    let storing = trust.cache.storing(id).await;
    let missing = trust.cache.missing(id, bundle.fragments).await?;
    if !missing.is_empty() {
        return Err(refuse::incomplete(format!(
            "{} of {} fragments are missing",
            missing.len(),
            bundle.fragments
        ))
        .into());
    }
    let from = generations::id(&mut *tx, granted.generation).await?;
    slots::remove_cells(&mut tx, bundle.number).await?;
    let place = deposit::place(trust, &mut tx, &bundle).await?;
    bundles::replaced(&mut tx, bundle.number, place.number).await?;
    if granted.is_errand {
        generations::brought(&mut tx, place.number, place.opened).await?;
    }
    let event = Event::Replaced {
        bundle: id,
        party: party.id,
        errand: granted.is_errand,
        from,
        to: place.generation,
    };
    trust.store.audit(&mut tx, event).await?;
    tx.commit().await?;
    drop(storing);
    trust.wake.notify_one();
    Ok(())
}
