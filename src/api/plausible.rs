//! CEL rules on what can only be a slip: names that no object can have, and amounts that no container can use. What is
//! stored already is not judged again by the API server while it does not change.

use kube::core::cel::Rule;

/// The form of the names of our kinds, which are DNS subdomains.
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Less memory starts no container; `m` is a thousandth of a byte.
const LEAST_MEMORY: &str = "1Mi";
/// More cores has no node.
const MOST_CPU: &str = "1000";

/// The rule on a field that names an object of this kind.
pub fn name_of(kind: &str) -> Rule {
    let said = format!(
        "write the name of a {kind}: lower case letters, digits, '-' and '.', with a letter or digit at both ends"
    );
    Rule::new(format!("self.matches('{NAME}')")).message(&*said)
}

/// The rule on the memory in requests and limits.
pub fn memory() -> Rule {
    let least = format!("quantity('{LEAST_MEMORY}')");
    let is_plausible =
        of_both("memory", |asked| format!("(!{asked}.isGreaterThan(quantity('0')) || !{asked}.isLessThan({least}))"));
    Rule::new(is_plausible).message("memory is in bytes, and less than 1Mi starts no container: write 100Mi, not 100m")
}

/// The rule on the cpu in requests and limits.
pub fn cpu() -> Rule {
    let is_plausible = of_both("cpu", |asked| format!("!{asked}.isGreaterThan(quantity('{MOST_CPU}'))"));
    Rule::new(is_plausible).message("cpu is in cores, and no node has more than 1000: write 500m, not 500000")
}

/// `is_plausible` of the quantity of this resource, in requests and in limits.
fn of_both(resource: &str, is_plausible: impl Fn(&str) -> String) -> String {
    let of = |field: &str| {
        let written = format!("string(self.{field}['{resource}'])");
        let is_plausible = is_plausible(&format!("quantity({written})"));
        format!("!has(self.{field}) || !('{resource}' in self.{field}) || !isQuantity({written}) || {is_plausible}")
    };
    format!("({}) && ({})", of("requests"), of("limits"))
}
