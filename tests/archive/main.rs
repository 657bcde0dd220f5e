//! The archive on a file of SQLite and on a real PostgreSQL: what holds for one holds for the other.

/// One test for each backend out of each of these functions.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::stage::Store::sqlite()).await;
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

mod crashes;
mod deleted_tasks;
mod guard;
mod idempotence;
mod lists;
mod openings;
mod postgres_faults;
mod records;
mod results;
mod retention;
mod sqlite_faults;
mod stage;
