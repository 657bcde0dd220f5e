//! Writes the tables of who may do what into docs/security.md.

fn main() -> std::io::Result<()> {
    harness::update_page_of_security()
}
