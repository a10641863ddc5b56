use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicU32;

use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::*;

fn migrator(statements: &[&'static str]) -> Migrator {
    let migrations = statements.iter().zip(1..).map(|(sql, version)| {
        let sql = AssertSqlSafe((*sql).to_owned()).into_sql_str();
        let kind = MigrationType::Simple;
        Migration::new(version, Cow::Borrowed("test"), kind, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

const SCHEMA: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT UNIQUE) STRICT";

async fn open(path: &Path, options: &Options) -> Db {
    open_sqlite_with(path, &migrator(&[SCHEMA]), options)
        .await
        .unwrap()
}

async fn add(db: &Db, note: &str) -> Result<(), DbError> {
    let mut tx = db.begin("add note").await?;
    sqlx::query("INSERT INTO notes (note) VALUES (?)")
        .bind(note)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

async fn count(db: &Db) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(db.read())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_database_is_private_durable_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/party.sqlite");
    let db = open(&path, &Options::default()).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = path.with_file_name("party.sqlite-wal");
    let mode = std::fs::metadata(log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut writer = db.writer.acquire().await.unwrap();
    for (pragma, expected) in [("synchronous", "2"), ("foreign_keys", "1")] {
        let sql = AssertSqlSafe(format!(
            "SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"
        ));
        let value: String = sqlx::query_scalar(sql)
            .fetch_one(&mut *writer)
            .await
            .unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *writer)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
    drop(writer);

    add(&db, "first").await.unwrap();
    db.close().await;
    let again = open(&path, &Options::default()).await;
    assert_eq!(count(&again).await, 1);
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing_and_readers_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("db"), &Options::default()).await;
    let insert = sqlx::query("INSERT INTO notes (note) VALUES ('a')");
    let mut tx = db.begin("half").await.unwrap();
    insert.execute(&mut *tx).await.unwrap();
    let again = sqlx::query("INSERT INTO notes (note) VALUES ('a')");
    let failed = DbError::from(again.execute(&mut *tx).await.unwrap_err());
    drop(tx);
    assert!(failed.is_unique_violation());
    assert_eq!(count(&db).await, 0);
    assert_eq!(db.retries(), 0);
    let written = sqlx::query("INSERT INTO notes (note) VALUES ('b')")
        .execute(db.read())
        .await;
    assert!(written.is_err());
}

#[tokio::test]
async fn a_busy_database_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let options = Options {
        busy_timeout: Duration::from_millis(10),
        ..Options::default()
    };
    let db = open(&path, &options).await;
    // Another process, as far as SQLite can tell.
    let connect = SqliteConnectOptions::new().filename(&path);
    let mut other = SqliteConnection::connect_with(&connect).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let writing = tokio::spawn({
        let (db, runs) = (db.clone(), Arc::clone(&runs));
        async move {
            let mut tx = db.begin("wait").await?;
            runs.fetch_add(1, Ordering::Relaxed);
            sqlx::query("INSERT INTO notes (note) VALUES ('late')")
                .execute(&mut *tx)
                .await?;
            tx.commit().await
        }
    });
    while db.retries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(count(&db).await, 1);

    // And given up in the end, as busy.
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let before = db.retries();
    let refused = add(&db, "never").await.unwrap_err();
    assert!(matches!(refused, DbError::Busy { .. }), "{refused:?}");
    assert_eq!(db.retries() - before, u64::from(ATTEMPTS) - 1);
}

#[tokio::test]
async fn a_full_disk_is_named_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("db"), &Options::default()).await;
    // SQLite answers for its own limit as it does for the disk's: SQLITE_FULL.
    sqlx::query("PRAGMA max_page_count = 20")
        .execute(&db.writer)
        .await
        .unwrap();
    let large = "x".repeat(1 << 20);
    let full = add(&db, &large).await.unwrap_err();
    assert!(matches!(full, DbError::StorageFull { .. }), "{full:?}");
    assert_eq!(count(&db).await, 0);
    add(&db, "small").await.unwrap();
}

#[tokio::test]
async fn writers_queue_instead_of_failing() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("db"), &Options::default()).await;
    let writers = (0..50).map(|number| {
        let db = db.clone();
        tokio::spawn(async move { add(&db, &number.to_string()).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(count(&db).await, 50);
    assert_eq!(db.retries(), 0);
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let newer = migrator(&[SCHEMA, "ALTER TABLE notes ADD COLUMN more TEXT"]);
    open_sqlite(&path, &newer).await.unwrap().close().await;
    let refused = open_sqlite(&path, &migrator(&[SCHEMA])).await.unwrap_err();
    assert!(matches!(refused, DbError::Migrate { .. }), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    std::fs::write(&path, [7; 5000]).unwrap();
    let refused = open_sqlite(&path, &migrator(&[SCHEMA])).await.unwrap_err();
    assert!(matches!(refused, DbError::Open { .. }), "{refused:?}");
}

/// Borrowing what it stores, as callers do, and spawned, as handlers are.
async fn add_with_write(db: &Db, note: &str, fail: bool) -> Result<(), DbError> {
    db.write("add note", async |tx| {
        sqlx::query("INSERT INTO notes (note) VALUES (?)")
            .bind(note)
            .execute(&mut *tx)
            .await?;
        if fail {
            return Err(sqlx::Error::RowNotFound.into());
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn work_is_committed_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("db"), &Options::default()).await;
    let spawned = tokio::spawn({
        let db = db.clone();
        async move { add_with_write(&db, &String::from("kept"), false).await }
    });
    spawned.await.unwrap().unwrap();
    let failed = add_with_write(&db, "dropped", true).await.unwrap_err();
    assert!(matches!(failed, DbError::Sql { .. }), "{failed:?}");
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn what_was_deleted_is_in_neither_file_once_the_log_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let options = Options {
        secure_delete: true,
        busy_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let db = open(&path, &options).await;
    let secret = "a secret that must not stay";
    add(&db, secret).await.unwrap();
    let holds = || {
        ["db", "db-wal"].into_iter().any(|name| {
            let bytes = std::fs::read(directory.path().join(name)).unwrap_or_default();
            bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        })
    };
    assert!(db.empty_log().await.unwrap());
    assert!(holds());
    // Somebody still reads the old state.
    let mut reader = db.read().begin().await.unwrap();
    let before: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    assert_eq!(before, 1);
    let mut tx = db.begin("remove").await.unwrap();
    sqlx::query("DELETE FROM notes")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(!db.empty_log().await.unwrap(), "a reader was overlooked");
    drop(reader);
    while !db.empty_log().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!holds());
}
