//! Prints what became of each promise.

use console::style;

use super::promises::Verdict;

/// The sentences one by one as they are known, and their number at the end.
#[derive(Debug, Default)]
pub struct Report {
    kept: u32,
    broken: u32,
    not_made: u32,
}

impl Report {
    pub fn tell(&mut self, sentence: &str, verdict: &Verdict) {
        match verdict {
            Verdict::Kept => {
                self.kept += 1;
                println!("{}      {sentence}", style("ok").green());
            }
            Verdict::NotMade(why) => {
                self.not_made += 1;
                println!(
                    "{}       {sentence}\n        {}",
                    style("-").dim(),
                    style(format!("Not promised: {why}.")).dim()
                );
            }
            Verdict::Broken(why) => {
                self.broken += 1;
                println!("{}  {sentence}\n        {why}", style("FAILED").red().bold());
            }
        }
    }

    pub fn end(&self) {
        println!("\n{}", self.summary());
    }

    fn summary(&self) -> String {
        let Self { kept, broken, not_made } = self;
        let aside = if *not_made > 0 { format!(", {not_made} not made") } else { String::new() };
        format!("{kept} promises kept, {broken} broken{aside}")
    }

    pub fn is_good(&self) -> bool {
        self.broken == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_promises_and_those_never_made_are_counted_apart() {
        let mut report = Report::default();
        for verdict in [Verdict::Kept, Verdict::Kept, Verdict::NotMade("no")] {
            report.tell("It works.", &verdict);
        }
        assert!(report.is_good());
        assert_eq!(report.summary(), "2 promises kept, 0 broken, 1 not made");
        report.tell("It works.", &Verdict::Broken("it does not".into()));
        assert!(!report.is_good());
    }
}
