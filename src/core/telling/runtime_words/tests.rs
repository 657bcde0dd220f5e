use super::*;

/// As a kubelet of 1.34 with containerd 1.6 and runc said it, and what remains of it.
const SAID: [(&str, &str); 24] = [
    (
        "Failed to pull image \"localhost:5001/x:1\": failed to pull and unpack image \"localhost:5001/x:1\": failed to resolve reference \"localhost:5001/x:1\": failed to do request: Head \"http://localhost:5001/v2/x/manifests/1\": dial tcp 127.0.0.1:5001: connect: connection refused",
        "Head \"http://localhost:5001/v2/x/manifests/1\": dial tcp 127.0.0.1:5001: connect: connection refused",
    ),
    (
        "Back-off pulling image \"localhost:5001/x:1\": ErrImagePull: failed to pull and unpack image \"localhost:5001/x:1\": failed to resolve reference \"localhost:5001/x:1\": failed to do request: Head \"http://localhost:5001/v2/x/manifests/1\": dial tcp 127.0.0.1:5001: connect: connection refused",
        "Head \"http://localhost:5001/v2/x/manifests/1\": dial tcp 127.0.0.1:5001: connect: connection refused",
    ),
    (
        "Failed to pull image \"R/notfound:1\": rpc error: code = NotFound desc = failed to pull and unpack image \"R/notfound:1\": failed to resolve reference \"R/notfound:1\": R/notfound:1: not found",
        "R/notfound:1: not found",
    ),
    (
        "failed to pull and unpack image \"R/auth:1\": failed to resolve reference \"R/auth:1\": pulling from host localhost:5000 failed with status code [manifests 1]: 401 Unauthorized",
        "pulling from host localhost:5000 failed with status code [manifests 1]: 401 Unauthorized",
    ),
    (
        "failed to resolve reference \"R/b:1\": failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
        "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
    ),
    (
        "failed to do request: Head \"https://registry.example.invalid/v2/x/manifests/1\": dial tcp: lookup registry.example.invalid on 10.255.255.53:53: read udp 10.99.1.2:55360->10.255.255.53:53: i/o timeout",
        "Head \"https://registry.example.invalid/v2/x/manifests/1\": dial tcp: lookup registry.example.invalid on 10.255.255.53:53: read udp 10.99.1.2:55360->10.255.255.53:53: i/o timeout",
    ),
    (
        "Container image \"localhost/nope:1\" is not present with pull policy of Never",
        "Container image \"localhost/nope:1\" is not present with pull policy of Never",
    ),
    (
        "Failed to apply default image tag \"Not/A/Name:1\": couldn't parse image name \"Not/A/Name:1\": invalid reference format: repository name (A/Name) must be lowercase",
        "Failed to apply default image tag \"Not/A/Name:1\": couldn't parse image name \"Not/A/Name:1\": invalid reference format: repository name (A/Name) must be lowercase",
    ),
    ("Back-off pulling image \"localhost/nope:1\"", "Back-off pulling image \"localhost/nope:1\""),
    (
        "MountVolume.SetUp failed for volume \"v\" : configmap \"none\" not found",
        "volume \"v\": configmap \"none\" not found",
    ),
    (
        "MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key: zz",
        "volume \"v\": configmap references non-existent config key: zz",
    ),
    (
        "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no/such is not a directory",
        "volume \"v\": hostPath type check failed: /no/such is not a directory",
    ),
    (
        "MountVolume.SetUp failed for volume \"nfs\" : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs a:/b /var/lib/kubelet/pods/1f/volumes/kubernetes.io~nfs/nfs\nOutput: mount: /var/lib/kubelet/pods/1f/volumes/kubernetes.io~nfs/nfs: unknown filesystem type 'nfs'.\n       dmesg(1) may have more information",
        "volume \"nfs\": mount: …/volumes/kubernetes.io~nfs/nfs: unknown filesystem type 'nfs'.",
    ),
    (
        "MountVolume.SetUp failed for volume \"c\" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name none.example.com not found in the list of registered CSI drivers",
        "volume \"c\": driver name none.example.com not found in the list of registered CSI drivers",
    ),
    ("Error: secret \"none\" not found", "secret \"none\" not found"),
    ("Error: couldn't find key k in ConfigMap x/have", "couldn't find key k in ConfigMap x/have"),
    (
        "Error: container has runAsNonRoot and image will run as root (pod: \"p_x(12-34)\", container: work)",
        "container has runAsNonRoot and image will run as root",
    ),
    (
        "Error: failed to create containerd container: cannot load seccomp profile \"/seccomp/none.json\": open /seccomp/none.json: no such file or directory",
        "cannot load seccomp profile \"/seccomp/none.json\": open /seccomp/none.json: no such file or directory",
    ),
    (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for \"gvisor\" is configured",
        "no runtime for \"gvisor\" is configured",
    ),
    (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: container init was OOM-killed (memory limit too low?): unknown",
        "container init was OOM-killed (memory limit too low?)",
    ),
    (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/no/such\": stat /no/such: no such file or directory: unknown",
        "exec: \"/no/such\": stat /no/such: no such file or directory",
    ),
    (
        "Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH: unknown",
        "exec: \"nosuch\": executable file not found in $PATH",
    ),
    (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: mkdir /bin/busybox: not a directory: unknown",
        "mkdir /bin/busybox: not a directory",
    ),
    ("Startup probe failed: no route to the mesh\n", "Startup probe failed: no route to the mesh"),
];

/// As a kubelet of 1.37 with containerd 2.4 said it, where it says it in other words.
const SAID_TODAY: [(&str, &str); 8] = [
    (
        "Failed to pull image \"localhost:5001/x:1\": failed to pull and unpack image \"localhost:5001/x:1\": failed to resolve image: failed to do request: Head \"https://localhost:5001/v2/x/manifests/1\": dial tcp 127.0.0.1:5001: connect: connection refused",
        "Head \"https://localhost:5001/v2/x/manifests/1\": dial tcp 127.0.0.1:5001: connect: connection refused",
    ),
    (
        "Back-off pulling image \"localhost:5000/missing:1\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"localhost:5000/missing:1\": failed to resolve image: localhost:5000/missing:1: not found",
        "localhost:5000/missing:1: not found",
    ),
    (
        "failed to pull and unpack image \"localhost:5000/private:1\": failed to resolve image: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
        "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
    ),
    (
        "failed to pull and unpack image \"localhost:5000/denied:1\": failed to resolve image: unexpected status from HEAD request to http://localhost:5000/v2/denied/manifests/1: 403 Forbidden\ndenied: denied",
        "unexpected status from HEAD request to http://localhost:5000/v2/denied/manifests/1: 403 Forbidden; denied: denied",
    ),
    (
        "failed to pull and unpack image \"localhost:5000/token:1\": failed to resolve image: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to http://localhost:5000/token?scope=repository%3Atoken%3Apull&service=registry: 401 Unauthorized",
        "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to http://localhost:5000/token?scope=repository%3Atoken%3Apull&service=registry: 401 Unauthorized",
    ),
    (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = unable to get OCI runtime for sandbox \"92c4ef60\": no runtime for \"gvisor\" is configured",
        "no runtime for \"gvisor\" is configured",
    ),
    (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to start sandbox \"827f20a3\": failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: container init was OOM-killed (memory limit too low?)",
        "container init was OOM-killed (memory limit too low?)",
    ),
    (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/no/such\": stat /no/such: no such file or directory",
        "exec: \"/no/such\": stat /no/such: no such file or directory",
    ),
];

#[test]
fn of_what_runtimes_say_the_cause_remains() {
    for (said, remains) in SAID.into_iter().chain(SAID_TODAY) {
        assert_eq!(cause(said), remains, "{said}");
        assert_eq!(cause(remains), remains, "it is not cut again");
    }
}

#[test]
fn words_that_are_not_known_are_kept() {
    for said in ["", "crun: something else", "Failed to pull image without a name: x", "a failed for volume \"v\""] {
        assert_eq!(cause(said), said);
    }
}

#[test]
fn an_image_is_named_once() {
    assert_eq!(image_cause("R/x:1: not found", "R/x:1"), "R/x:1: not found");
    assert_eq!(image_cause("ErrImagePull: 401 Unauthorized", "R/x:1"), "image R/x:1: 401 Unauthorized");
    assert_eq!(image_cause("401 Unauthorized", ""), "401 Unauthorized");
}
