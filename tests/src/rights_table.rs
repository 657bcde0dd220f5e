//! The tables of docs/security.md: who may do what, from the list of rights.

use std::fmt::Write;
use std::path::PathBuf;

use crate::rights::{Right, Rights};

const BEGIN: &str = "<!-- The tables are made by `make generate` from charts/task-manager/files/rights.yaml. -->\n";
const END: &str = "<!-- The end of the tables. -->\n";

fn page() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md"))
}

/// Writes the tables into docs/security.md.
pub fn update_page() -> std::io::Result<()> {
    let text = std::fs::read_to_string(page())?;
    std::fs::write(page(), with_tables(&text, Rights::of_the_chart()))
}

/// The page with the tables in the place of those that it has.
fn with_tables(page: &str, rights: &Rights) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("docs/security.md has a place for the tables");
    let (_, after) = rest.split_once(END).expect("docs/security.md says where the tables end");
    format!("{before}{BEGIN}{}{END}{after}", tables(rights))
}

fn tables(rights: &Rights) -> String {
    let mut text = String::new();
    for (who, rights) in [
        ("The operator, in each namespace whose tasks it runs", &rights.operator),
        ("The operator, in the namespaces that REST serves", &rights.rest),
        ("The operator, in its own namespace", &rights.lease),
        ("The operator, about the cluster as a whole", &rights.cluster),
    ] {
        let _ = write!(text, "\n**{who}**\n\n| may | why | can be left out |\n| --- | --- | --- |\n");
        for right in rights {
            let _ = writeln!(text, "| {} | {} | {} |", may(right), right.why, left_out(right));
        }
    }
    text += "\n**People and services**\n\n| role | may | why |\n| --- | --- | --- |\n";
    for role in ["view", "edit", "admin", "task-admin"] {
        for right in &rights.users[role] {
            let _ = writeln!(text, "| `{role}` | {} | {} |", may(right), right.why);
        }
    }
    text.push('\n');
    text
}

fn may(right: &Right) -> String {
    let groups = right.api_groups.iter().map(|group| if group.is_empty() { "core" } else { group.as_str() });
    let groups = groups.collect::<Vec<_>>().join(", ");
    let resources = right.resources.iter().map(|resource| format!("`{resource}`")).collect::<Vec<_>>().join(", ");
    format!("{} {resources} ({groups})", right.verbs.join(", "))
}

fn left_out(right: &Right) -> String {
    match (&right.name, &right.without) {
        (Some(name), Some(without)) => format!("`{name}`: {without}"),
        _ => "no".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_security_says_who_may_do_what_as_the_list_does() {
        let text = std::fs::read_to_string(page()).expect("docs/security.md");
        assert!(text == with_tables(&text, Rights::of_the_chart()), "docs/security.md is stale: run `make generate`");
    }
}
