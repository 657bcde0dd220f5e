//! How we speak to the API server: watches without end, calls with deadlines, the lease, and restored backups.

pub mod calls;
pub mod endless;
pub mod lease;
pub mod readable;
pub mod restored;
