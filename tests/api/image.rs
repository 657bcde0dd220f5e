//! The operator's image, as it is made without an image builder. `make test-large` builds the program itself twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::*;
use serde_json::{Value, json};

fn ran(command: &mut Command) -> String {
    let said = command.output().expect("it runs");
    assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).expect("text")
}

/// An image of the program under test, in a folder of this name.
fn made(folder: &str) -> PathBuf {
    let folder = target().join("test-logs/image").join(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let (binary, file) = (folder.join("program"), folder.join("image.tar"));
    // Another file of another time.
    fs::copy(Operator::binary(), &binary).expect("copied");
    let mut build = Command::new(target().join("../image/build"));
    build.arg("--binary").arg(&binary).env("TASK_MANAGER_IMAGE_FILE", &file);
    ran(build.env("TASK_MANAGER_IMAGE", "registry.example.com/task-manager:9"));
    file
}

fn member(archive: &Path, name: &str) -> String {
    ran(Command::new("tar").arg("-xOf").arg(archive).arg(name))
}

/// The blob that a descriptor names.
fn blob(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a digest").replace("sha256:", "blobs/sha256/")
}

fn read(archive: &Path, name: &str) -> Value {
    serde_json::from_str(&member(archive, name)).expect("JSON")
}

#[test]
fn the_image_has_the_program_and_no_root_and_is_the_same_each_time() {
    let (one, other) = (made("one"), made("other"));
    assert!(fs::read(&one).expect("an archive") == fs::read(&other).expect("an archive"), "two images of one program");
    let index = read(&one, "index.json");
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "registry.example.com/task-manager:9");
    let manifest = read(&one, &blob(&index["manifests"][0]));
    let config = read(&one, &blob(&manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/task-manager"]));
    let layer = one.with_file_name("layer.tar");
    ran(Command::new("sh")
        .args(["-c", "tar -xOf \"$0\" \"$1\" >\"$2\""])
        .arg(&one)
        .arg(blob(&manifest["layers"][0]))
        .arg(&layer));
    let files = ran(Command::new("tar").arg("-tvf").arg(&layer));
    assert!(files.contains(" ./task-manager\n") && files.contains(" ./etc/passwd\n"), "{files}");
    assert!(!files.contains("/bin/"), "nothing else can be run: {files}");
    assert!(!files.lines().any(|line| line[..10].contains('s')), "nothing has another's rights: {files}");
}
