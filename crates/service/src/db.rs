//! SQLite: one writer, several readers, and transactions that have names.
//!
//! Write-ahead log with `synchronous = FULL`: what [`Tx::commit`] has returned from is on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

#[cfg(test)]
mod tests;

/// Attempts at beginning a transaction before the caller hears of it.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file cannot be opened or created.
    #[error("the database {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The file cannot be created, or its directory.
    #[error("the database {} cannot be created", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The schema cannot be brought up to date, for instance because a newer version wrote it.
    #[error("the schema of the database {} cannot be brought up to date", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
    /// No space is left; nothing was changed.
    #[error("the disk of the database is full; make space and try again")]
    StorageFull {
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// Somebody else held the database for too long; nothing was changed.
    #[error("the database is busy; try again")]
    Busy {
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// Anything else.
    #[error("the database refused")]
    Sql {
        /// What it said.
        source: sqlx::Error,
    },
}

impl From<sqlx::Error> for DbError {
    fn from(source: sqlx::Error) -> Self {
        if matches!(source, sqlx::Error::PoolTimedOut) {
            return Self::Busy { source };
        }
        match primary_code(&source) {
            // SQLITE_BUSY, SQLITE_LOCKED
            Some(5 | 6) => Self::Busy { source },
            // SQLITE_FULL
            Some(13) => Self::StorageFull { source },
            _ => Self::Sql { source },
        }
    }
}

impl DbError {
    /// Whether a statement failed because it would have broken a `UNIQUE` constraint or primary key:
    /// what was to be inserted is there already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        let Self::Sql { source } = self else {
            return false;
        };
        source
            .as_database_error()
            .is_some_and(|error| error.is_unique_violation())
    }
}

/// SQLite's result code, without its extension: <https://sqlite.org/rescode.html>.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<i32>().ok()? & 0xff)
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections for reading. 4.
    pub readers: u32,
    /// How long SQLite waits for another process before it answers that the database is busy. 5 s.
    pub busy_timeout: Duration,
    /// How long a call waits for a connection of this process. 30 s.
    pub acquire_timeout: Duration,
    /// Whether deleted bytes are overwritten with zeros: for databases that hold keys. Otherwise as SQLite was built.
    pub secure_delete: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(30),
            secure_delete: false,
        }
    }
}

/// An open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
    retries: Arc<AtomicU64>,
}

/// Opens the SQLite database at `path`, creating it (and its directory, both for this user alone)
/// if needed, and brings its schema up to date.
///
/// # Errors
/// [`DbError::Create`], [`DbError::Open`], [`DbError::Migrate`].
pub async fn open_sqlite(path: &Path, migrator: &Migrator) -> Result<Db, DbError> {
    open_sqlite_with(path, migrator, &Options::default()).await
}

/// As [`open_sqlite`], with other options.
///
/// # Errors
/// As [`open_sqlite`].
pub async fn open_sqlite_with(
    path: &Path,
    migrator: &Migrator,
    options: &Options,
) -> Result<Db, DbError> {
    create_private(path).map_err(|source| DbError::Create {
        path: path.to_owned(),
        source,
    })?;
    let open_error = |source| DbError::Open {
        path: path.to_owned(),
        source,
    };
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout);
    // Otherwise as SQLite was built.
    let connect = if options.secure_delete {
        connect.pragma("secure_delete", "on")
    } else {
        connect
    };
    let pool = |connections| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.acquire_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .after_release(|connection, _| Box::pin(is_reusable(connection)))
    };
    // One writer: transactions queue here, in order, instead of failing as busy in SQLite.
    let writer = pool(1)
        .connect_with(connect.clone())
        .await
        .map_err(open_error)?;
    migrator
        .run(&writer)
        .await
        .map_err(|source| DbError::Migrate {
            path: path.to_owned(),
            source,
        })?;
    let readers = pool(options.readers.max(1))
        .connect_with(connect.pragma("query_only", "on"))
        .await
        .map_err(open_error)?;
    Ok(Db {
        writer,
        readers,
        retries: Arc::default(),
    })
}

/// SQLite rolls back by itself when the disk is full, of which the library knows nothing: its own
/// rollback then fails, and every later transaction on that connection would.
async fn is_reusable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // After this a rollback that was under way has been tried.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(directory) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        crate::files::create_dir_durable(directory, 0o700)?;
    }
    // SQLite gives its log the permissions of the database.
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

impl Db {
    /// Begins a transaction that holds the write lock from its beginning; dropped without
    /// [`Tx::commit`] it leaves nothing. Waiting for another process is tried again a few times; once
    /// begun, a transaction is never busy. `name` is for the log.
    ///
    /// ```ignore
    /// let mut tx = db.begin("store receipt").await?;
    /// sqlx::query("INSERT INTO receipts (id) VALUES (?)").bind(id).execute(&mut *tx).await?;
    /// tx.commit().await?;
    /// ```
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn begin(&self, name: &'static str) -> Result<Tx, DbError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let error = match self.writer.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => return Ok(Tx(transaction)),
                Err(error) => DbError::from(error),
            };
            if !matches!(error, DbError::Busy { .. }) || attempt == ATTEMPTS {
                return Err(error);
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                transaction = name,
                attempt,
                "the database is busy; retrying"
            );
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends by returning")
    }

    /// Runs `work` in a transaction as [`Db::begin`] makes it, commits it, and returns when it is
    /// durable. If `work` fails, nothing of it stays. It runs once at most.
    ///
    /// ```ignore
    /// db.write("store receipt", async |tx| {
    ///     sqlx::query("INSERT INTO receipts (id) VALUES (?)").bind(id).execute(&mut *tx).await?;
    ///     Ok::<_, DbError>(())
    /// }).await?;
    /// ```
    ///
    /// # Errors
    /// Those of `work`; [`DbError`], as its type of errors has it, if beginning or committing
    /// fails.
    pub async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        // Not `AsyncFn`: the compiler cannot see that what such a one returns is `Send`.
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<T, E>,
        E: From<DbError>,
    {
        let mut tx = self.begin(name).await?;
        let value = work(&mut tx).await?;
        tx.commit().await?;
        Ok(value)
    }

    /// Connections for reading; writing through them fails. Each sees what was committed before its
    /// statement (or its transaction) began.
    #[must_use]
    pub fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Writes everything in the write-ahead log into the database and empties the log, so that nothing deleted stays
    /// in it. `false` if somebody reads what the log still holds, or writes: then it was not emptied, and may be tried
    /// again.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn empty_log(&self) -> Result<bool, DbError> {
        // <https://sqlite.org/pragma.html#pragma_wal_checkpoint>: busy, pages in the log, pages moved.
        let outcome: Result<(i64, i64, i64), sqlx::Error> =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
                .fetch_one(&self.writer)
                .await;
        match outcome.map_err(DbError::from) {
            Ok((busy, _, _)) => Ok(busy == 0),
            Err(DbError::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many times beginning a transaction was retried since the database was opened.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Waits for what runs and closes the database; later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction that may write. Use it as a connection: `&mut *tx`.
#[derive(Debug)]
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Tx(sqlx::Transaction<'static, sqlx::Sqlite>);

impl Tx {
    /// Makes everything durable.
    ///
    /// # Errors
    /// [`DbError`]; then nothing of it stays.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.0.commit().await?)
    }
}

impl std::ops::Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}
