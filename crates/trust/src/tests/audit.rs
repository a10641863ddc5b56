use harpo_protocol::audit::{AuditHead, Broken};
use sqlx::SqlitePool;

use super::network::*;
use crate::audit::AuditError;

/// A log with some entries, and a connection of somebody who can write to the file.
async fn filled() -> (Network, SqlitePool, AuditHead) {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    for study in ["1.1", "1.2", "1.3"] {
        a.deposit(&Spec::new(study, 1)).await;
    }
    let head = network.operator().await.verify_audit(None).await.unwrap();
    let path = network.folder().path().join("trust.db");
    let attacker = SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    (network, attacker, head)
}

async fn verify(network: &Network) -> Result<AuditHead, AuditError> {
    let operator = network.operator().await;
    let outcome = operator.verify_audit(None).await;
    operator.close().await;
    outcome
}

#[tokio::test]
async fn every_change_of_an_entry_is_found() {
    let (network, attacker, head) = filled().await;
    assert!(head.number >= 8);
    for number in 1..=head.number as i64 {
        let (entry, hash): (String, Vec<u8>) =
            sqlx::query_as("SELECT entry, hash FROM audit WHERE number = ?")
                .bind(number)
                .fetch_one(&attacker)
                .await
                .unwrap();
        // One character, the hash, the entry as a whole.
        let flipped = entry.replacen("\"at\":1", "\"at\":2", 1);
        assert_ne!(flipped, entry);
        let mut bad_hash = hash.clone();
        bad_hash[0] ^= 1;
        for (entry, hash) in [(&flipped, &hash), (&entry, &bad_hash)] {
            replace(&attacker, number, entry, hash).await;
            let found = verify(&network).await;
            assert!(
                matches!(&found, Err(AuditError::Broken(Broken::Hash { number: n })) if *n == number as u64),
                "{number}: {found:?}"
            );
        }
        replace(&attacker, number, &entry, &hash).await;
        verify(&network).await.unwrap();
    }
}

async fn replace(attacker: &SqlitePool, number: i64, entry: &str, hash: &[u8]) {
    sqlx::query("UPDATE audit SET entry = ?, hash = ? WHERE number = ?")
        .bind(entry)
        .bind(hash)
        .bind(number)
        .execute(attacker)
        .await
        .unwrap();
}

#[tokio::test]
async fn removed_and_swapped_entries_are_found() {
    let (network, attacker, head) = filled().await;
    for statement in [
        "DELETE FROM audit WHERE number = 3",
        "DELETE FROM audit WHERE number = 1",
        "UPDATE audit SET number = CASE number WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE number IN (3, 4);
         UPDATE audit SET number = -number WHERE number < 0",
        "INSERT INTO audit (number, entry, hash) SELECT 100, entry, hash FROM audit WHERE number = 2",
    ] {
        sqlx::raw_sql("CREATE TABLE keep AS SELECT * FROM audit")
            .execute(&attacker)
            .await
            .unwrap();
        sqlx::raw_sql(statement).execute(&attacker).await.unwrap();
        let found = verify(&network).await;
        assert!(matches!(found, Err(AuditError::Broken(_))), "{statement}: {found:?}");
        sqlx::raw_sql("DELETE FROM audit; INSERT INTO audit SELECT * FROM keep; DROP TABLE keep")
            .execute(&attacker)
            .await
            .unwrap();
        assert_eq!(verify(&network).await.unwrap(), head);
    }
}

#[tokio::test]
async fn a_shortened_log_is_found_and_not_continued() {
    let (network, attacker, head) = filled().await;
    let a = network.gateway("late").await;
    let head = AuditHead {
        number: head.number + 2,
        ..network.operator().await.verify_audit(None).await.unwrap()
    };
    sqlx::query("DELETE FROM audit WHERE number = ?")
        .bind(head.number as i64)
        .execute(&attacker)
        .await
        .unwrap();
    let found = verify(&network).await;
    assert!(
        matches!(found, Err(AuditError::End { expected, found }) if expected == head.number && found + 1 == expected),
        "{found:?}"
    );
    // The service does not paper over it: nothing that must be recorded is done.
    assert_eq!(
        code(
            a.release(harpo_protocol::id::BundleId([0; 16]), &treating(), true)
                .await
        ),
        "not_found"
    );
    let bundle = a.seal(&Spec::new("1.9", 1));
    a.begin(&bundle).await.unwrap();
    a.put(bundle.id, 0, &bundle.fragments[0]).await.unwrap();
    assert_eq!(code(a.complete(bundle.id).await), "internal");
}

#[tokio::test]
async fn a_whole_log_that_contradicts_a_receipt_is_found() {
    let (network, attacker, old) = filled().await;
    let checkpoint: String = sqlx::query_scalar("SELECT signed FROM checkpoint")
        .fetch_one(&attacker)
        .await
        .unwrap();
    let a = network.gateway("late").await;
    let bundle = a.deposit(&Spec::new("1.9", 1)).await;
    let receipt = a
        .complete(bundle.id)
        .await
        .unwrap()
        .verify(&a.trust_key)
        .unwrap();
    let operator = network.operator().await;
    operator.verify_audit(Some(receipt.audit)).await.unwrap();
    operator.verify_audit(Some(old)).await.unwrap();
    // Rolled back, with the signed head of then.
    sqlx::query("DELETE FROM audit WHERE number > ?")
        .bind(old.number as i64)
        .execute(&attacker)
        .await
        .unwrap();
    sqlx::query("UPDATE checkpoint SET signed = ?")
        .bind(checkpoint)
        .execute(&attacker)
        .await
        .unwrap();
    operator.verify_audit(None).await.unwrap();
    let found = operator.verify_audit(Some(receipt.audit)).await;
    assert!(
        matches!(found, Err(AuditError::Rewritten { .. })),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_head_that_this_service_did_not_sign_is_found() {
    let (network, attacker, head) = filled().await;
    let (stranger, _) =
        harpo_protocol::sign::SigningKey::generate(&mut harpo_service::random::system());
    let forged = stranger.sign(&harpo_protocol::audit::Checkpoint {
        head,
        at: network.clock.now(),
    });
    for forged in [Some(forged.to_json()), Some("{}".to_owned()), None] {
        match forged {
            Some(text) => sqlx::query("UPDATE checkpoint SET signed = ?").bind(text),
            None => sqlx::query("DELETE FROM checkpoint"),
        }
        .execute(&attacker)
        .await
        .unwrap();
        let found = verify(&network).await;
        assert!(matches!(found, Err(AuditError::Head)), "{found:?}");
    }
}

#[tokio::test]
async fn the_exported_lines_verify_by_themselves() {
    let (network, _, head) = filled().await;
    let mut out = Vec::new();
    let count = network
        .operator()
        .await
        .export_audit(&mut out)
        .await
        .unwrap();
    assert_eq!(count, head.number);
    let mut computed = AuditHead::EMPTY;
    for line in String::from_utf8(out).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        computed = computed.append(line["entry"].as_str().unwrap().as_bytes());
        assert_eq!(line["hash"], computed.hash.to_string());
    }
    assert_eq!(computed, head);
    let text = format!("{}:{}", head.number, head.hash);
    assert_eq!(crate::parse_head(&text).unwrap(), head);
    assert!(crate::parse_head("7").is_err() && crate::parse_head("x:y").is_err());
}
