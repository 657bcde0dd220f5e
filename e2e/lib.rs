//! Everything here is tests: see `lifecycle`.
