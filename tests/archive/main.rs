//! The archive on a file of SQLite, on a real PostgreSQL, and on one behind a PgBouncer that pools transactions: what
//! holds for one holds for the others.

/// One test for each backend out of each of these functions.
macro_rules! on_all {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::stage::Store::sqlite()).await;
            })*
        }
        mod behind_pgbouncer {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::stage::Store::behind_pgbouncer().await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::stage::Store::postgres().await).await;
            })*
        }
    };
}

mod backups;
mod checkpoints;
mod chunks;
mod crashes;
mod deleted_tasks;
mod frozen_disk;
mod guard;
mod idempotence;
mod large;
mod lists;
mod openings;
mod postgres_faults;
mod records;
mod results;
mod retention;
mod sqlite_faults;
mod stage;
