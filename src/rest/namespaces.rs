//! The namespaces that are served: no path sees any other.

use crate::serving::problem::{Problem, ProblemType};

pub struct Namespaces {
    /// The first one is meant where a request names none.
    served: Vec<String>,
}

impl Namespaces {
    pub fn new(served: &[String]) -> Self {
        Self { served: served.to_vec() }
    }

    /// The namespace that a request means.
    pub fn meant(&self, asked: Option<&str>) -> Result<&str, Problem> {
        let Some(asked) = asked else { return Ok(self.served.first().map(String::as_str).unwrap_or_default()) };
        let served = self.served.iter().find(|served| *served == asked);
        served.map(String::as_str).ok_or_else(|| {
            ProblemType::UnknownNamespace
                .because("this namespace is not served here; leave it out for the usual one")
                .at("namespace")
        })
    }

    /// The one that a filter names, else all.
    pub fn filtered(&self, asked: Option<&str>) -> Result<Vec<String>, Problem> {
        match asked {
            Some(_) => Ok(vec![self.meant(asked)?.to_owned()]),
            None => Ok(self.served.clone()),
        }
    }

    pub fn serves(&self, namespace: &str) -> bool {
        self.served.iter().any(|served| served == namespace)
    }
}
