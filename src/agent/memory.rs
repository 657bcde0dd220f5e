//! Whether the kernel killed something in this container for its use of memory. With one cgroup for the whole container the
//! worker may outlive its work; the count of such kills tells.

use std::fs;

/// Of cgroup v2 and v1, as a container sees its own.
const COUNTS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// How many processes of this container were killed for their use of memory so far; `None` where nobody says so.
pub fn kills() -> Option<u64> {
    COUNTS.iter().find_map(|path| read(&fs::read_to_string(path).ok()?))
}

fn read(counts: &str) -> Option<u64> {
    counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_both_versions_of_cgroups() {
        assert_eq!(read("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n"), Some(2));
        assert_eq!(read("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(read("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
