//! Cuts the words of kubelets and container runtimes about a trouble down to its cause. Cuts only words that are known to
//! tell nobody anything; never says what a cause means.

/// Words before a cause. `…` stands for a quoted name or a single word.
const PREAMBLES: [&str; 23] = [
    "Error: ",
    "Failed to pull image \"…\": ",
    "Back-off pulling image \"…\": ",
    "ErrImagePull: ",
    "ImagePullBackOff: ",
    "Failed to create pod sandbox: ",
    "rpc error: code = … desc = ",
    "failed to pull and unpack image \"…\": ",
    "failed to resolve image: ",
    "failed to resolve reference \"…\": ",
    "failed to do request: ",
    "failed to create containerd task: ",
    "failed to create shim task: ",
    "failed to create containerd container: ",
    "failed to get sandbox runtime: ",
    "unable to get OCI runtime for sandbox \"…\": ",
    "failed to create sandbox \"…\": ",
    "failed to start sandbox \"…\": ",
    "OCI runtime create failed: ",
    "runc create failed: ",
    "unable to start container process: ",
    "error during container init: ",
    "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: ",
];
/// Words behind a cause.
const EPILOGUE: &str = ": unknown";

/// The cause in what was said.
pub fn cause(said: &str) -> String {
    if let Some((volume, rest)) = of_a_volume(said) {
        return format!("volume \"{volume}\": {}", mount_cause(rest));
    }
    let mut rest = said.trim();
    while let Some(shorter) = PREAMBLES.iter().find_map(|preamble| without(preamble, rest)) {
        rest = shorter;
    }
    on_one_line(&without_the_pod(rest.strip_suffix(EPILOGUE).unwrap_or(rest)))
}

/// Registries answer with several lines.
fn on_one_line(said: &str) -> String {
    said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The cause of a trouble with this image, which is named.
pub fn image_cause(said: &str, image: &str) -> String {
    let cause = cause(said);
    match image.is_empty() || cause.contains(image) {
        true => cause,
        false => format!("image {image}: {cause}"),
    }
}

/// The name between the first quotes.
pub fn quoted(said: &str) -> Option<&str> {
    said.split('"').nth(1)
}

fn without<'a>(preamble: &str, said: &'a str) -> Option<&'a str> {
    let Some((head, tail)) = preamble.split_once('…') else { return said.strip_prefix(preamble) };
    let (name, rest) = said.strip_prefix(head)?.split_once(tail)?;
    let is_one = !name.contains(['"', ' ']);
    is_one.then_some(rest)
}

/// `MountVolume.SetUp failed for volume "v" : …` and its like: the volume, and the rest.
fn of_a_volume(said: &str) -> Option<(&str, &str)> {
    let (what, rest) = said.split_once(" failed for volume \"")?;
    let (volume, rest) = rest.split_once('"')?;
    let rest = rest.trim_start_matches([' ', ':']);
    (!what.contains(' ') && !rest.is_empty()).then_some((volume, rest))
}

/// The first line of the output of a mount that failed.
fn mount_cause(said: &str) -> String {
    let output = said.split_once("Output: ").map_or(said, |(_, output)| output);
    let line = output.trim().lines().next().unwrap_or_default();
    let mut rest = line;
    while let Some(shorter) = PREAMBLES.iter().find_map(|preamble| without(preamble, rest)) {
        rest = shorter;
    }
    without_the_kubelets_paths(rest)
}

/// Paths below the kubelet's folder of a pod, without what is the same in all of them.
fn without_the_kubelets_paths(said: &str) -> String {
    let short = |word: &str| {
        let from = word.find('/').filter(|_| word.contains("/pods/"))?;
        let below = word.split_once("/pods/")?.1.split_once('/')?.1;
        Some(format!("{}…/{below}", &word[..from]))
    };
    said.split(' ').map(|word| short(word).unwrap_or_else(|| word.into())).collect::<Vec<_>>().join(" ")
}

/// The text without the name of the pod, which the reader knows.
fn without_the_pod(said: &str) -> String {
    match said.split_once(" (pod: \"") {
        Some((before, pod)) if pod.ends_with(')') => before.into(),
        _ => said.into(),
    }
}

#[cfg(test)]
mod tests;
