//! One admission pass over 10,000 queued tasks.

fn main() {}
