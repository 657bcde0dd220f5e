//! Reads metrics in the OpenMetrics text format.

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub text: String,
}

impl Metrics {
    /// The sum of all samples of this name that have these labels; `None` where there is no such sample.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<f64> = self
            .samples()
            .filter(|(sample, written, _)| *sample == name && has_all(written, labels))
            .map(|(_, _, value)| value)
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The same; 0 where there is no such sample.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.value(name, labels).unwrap_or_default() as u64
    }

    /// Name, labels as written and value of each sample.
    pub fn samples(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
        })
    }
}

fn has_all(written: &str, labels: &[(&str, &str)]) -> bool {
    let written: Vec<&str> = written.split(',').collect();
    labels.iter().all(|(name, value)| written.contains(&format!("{name}=\"{value}\"").as_str()))
}
