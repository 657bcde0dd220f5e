//! Bytes and their digests as text. Names and stored keys depend on these, so they are the same in every version.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The SHA-256 of `bytes` in 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// `bytes` in lower-case hexadecimal digits, two for each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of FIPS 180-2, appendix B.1.
    #[test]
    fn a_digest_is_written_in_lower_case_hexadecimal() {
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
