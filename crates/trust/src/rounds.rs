//! What each gateway spends in each round (docs/protocol.md 9.7): the same for all of them, whatever anybody wants.

use std::time::Duration;

use harpo_protocol::id::Nonce;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::rounds::{Round, RoundStack, Rule};
use harpo_protocol::time::Timestamp;
use harpo_service::random;

use crate::audit::Event;
use crate::error::{TrustError, damaged, refuse};
use crate::replacement;
use crate::serve::Trust;
use crate::store::parties::Party;
use crate::store::{rounds, stacks};

/// The present round of a party, as JSON: what it was answered before in the same round, or a new ticket.
pub(crate) async fn round(trust: &Trust, party: &Party) -> Result<String, TrustError> {
    let rule = trust
        .config
        .retrieval
        .rule()
        .ok_or_else(|| refuse::not_found("this network has no rounds; retrieve at once"))?;
    let number = rule.number(trust.store.now());
    let mut tx = trust.store.db.begin("round").await?;
    if let Some(answer) = rounds::answer(&mut *tx, party.id, number).await? {
        return Ok(answer);
    }
    let Some((stack, signed)) = stacks::of_round(&mut tx, number).await? else {
        // Neither recorded nor remembered: something may be sealed within the round.
        return json(&Round {
            number,
            stack: None,
            errand: None,
        });
    };
    let descriptor = signed
        .verify(&trust.store.signing.verifying_key())
        .map_err(|_| damaged("the stack descriptor"))?;
    let ticket = Ticket {
        nonce: Nonce::random(&mut random::system()),
        generations: descriptor
            .generations
            .iter()
            .map(|g| g.generation)
            .collect(),
        queries: rule.queries,
        expires: expires(&rule, number, trust.config.tickets.validity_seconds),
    };
    let errand = replacement::errand(trust, &mut tx, party, stack).await?;
    let event = Event::Round {
        party: party.id,
        number,
        ticket: ticket.nonce,
        errand: errand.as_ref().map(|errand| errand.bundle),
        grant: errand.as_ref().map(|errand| errand.grant),
    };
    let answer = json(&Round {
        number,
        stack: Some(RoundStack {
            stack: signed,
            ticket: trust.store.signing.sign(&ticket),
        }),
        errand,
    })?;
    rounds::answered(&mut tx, party.id, number, &answer).await?;
    trust.store.audit(&mut tx, event).await?;
    tx.commit().await?;
    Ok(answer)
}

/// The same for all tickets of a round. Where rounds begin with whole minutes, it is also what a ticket gets that a release
/// gives out in that minute (9.1).
fn expires(rule: &Rule, number: u64, validity_seconds: u32) -> Timestamp {
    let validity = Duration::from_secs(validity_seconds.into());
    rule.begins(number + 1).after(validity).minute_after()
}

fn json(round: &Round) -> Result<String, TrustError> {
    serde_json::to_string(round).map_err(|_| damaged("a round"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_of_rounds_expire_like_those_of_releases() {
        let rule = Rule {
            seconds: 60,
            queries: 8,
        };
        let validity = Duration::from_secs(1800);
        for now in [1, 5_000, 59_999] {
            let now = Timestamp(600_000 + now);
            let of_release = now.after(validity).minute_after();
            assert_eq!(expires(&rule, rule.number(now), 1800), of_release);
        }
    }
}
