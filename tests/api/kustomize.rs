//! The configuration for kustomize that comes with the operator: names follow those that kustomize changes.

use std::fs;

use harness::*;
use serde_json::Value;

const KUSTOMIZATION: &str = "
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: dev-
resources: [all.yaml]
configurations: [namereference.yaml]
configMapGenerator: [{ name: settings, literals: [GREETING=hello] }]
secretGenerator: [{ name: keys, literals: [KEY=x] }]
images: [{ name: localhost/busybox, newTag: '2' }]
";

const ALL: &str = "
apiVersion: taskmanager.dev/v1alpha1
kind: Task
metadata: { name: one }
spec: { type: work, queue: slow }
---
apiVersion: taskmanager.dev/v1alpha1
kind: Task
metadata: { name: two }
spec: { type: of-another, queue: default }
---
apiVersion: taskmanager.dev/v1alpha1
kind: TaskQueue
metadata: { name: slow }
spec: { capacity: { tasks: 1 } }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
---
apiVersion: taskmanager.dev/v1alpha1
kind: TaskType
metadata: { name: work }
spec:
  template:
    spec:
      serviceAccountName: reader
      imagePullSecrets: [{ name: keys }]
      initContainers:
        - { name: prepare, image: 'localhost/busybox:1', envFrom: [{ secretRef: { name: keys } }] }
      containers:
        - name: work
          image: localhost/busybox:1
          envFrom: [{ configMapRef: { name: settings } }]
          env: [{ name: KEY, valueFrom: { secretKeyRef: { name: keys, key: KEY } } }]
      volumes:
        - { name: a, configMap: { name: settings } }
        - { name: b, secret: { secretName: keys } }
        - { name: c, persistentVolumeClaim: { claimName: data } }
        - { name: d, projected: { sources: [{ configMap: { name: settings } }, { secret: { name: keys } }] } }
";

/// The objects that kustomize makes of these.
async fn rendered(ns: &Namespace) -> Vec<Value> {
    let folder = target().join("test-logs").join(format!("{}-kustomize", ns.name));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("kustomization.yaml"), KUSTOMIZATION).expect("written");
    fs::write(folder.join("all.yaml"), ALL).expect("written");
    let shipped = target().join("../manifests/kustomize/namereference.yaml");
    fs::copy(shipped, folder.join("namereference.yaml")).expect("it is shipped");
    let said = ns.kubectl(&["kustomize", folder.to_str().expect("a path that is text")]).await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).expect("text");
    serde_saphyr::from_multiple(&text).expect("objects")
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[tokio::test]
async fn names_follow_a_prefix_and_the_hash_of_what_is_generated() {
    in_namespace("kustomize", async |ns| {
        let objects = rendered(&ns).await;
        let generated = |kind: &str| of_kind(&objects, kind)[0]["metadata"]["name"].clone();
        let (settings, keys) = (generated("ConfigMap"), generated("Secret"));
        assert!(settings.as_str().is_some_and(|name| name.starts_with("dev-settings-")), "{settings}");
        let tasks = of_kind(&objects, "Task");
        let named = |task: &Value| (task["spec"]["type"].clone(), task["spec"]["queue"].clone());
        assert_eq!(named(tasks[0]), ("dev-work".into(), "dev-slow".into()));
        assert_eq!(named(tasks[1]), ("of-another".into(), "default".into()), "what is not among them keeps its name");
        let pod = &of_kind(&objects, "TaskType")[0]["spec"]["template"]["spec"];
        let (work, prepare) = (&pod["containers"][0], &pod["initContainers"][0]);
        for (said, expected) in [
            (&pod["serviceAccountName"], &Value::from("dev-reader")),
            (&pod["imagePullSecrets"][0]["name"], &keys),
            (&prepare["envFrom"][0]["secretRef"]["name"], &keys),
            (&prepare["image"], &Value::from("localhost/busybox:2")),
            (&work["image"], &Value::from("localhost/busybox:2")),
            (&work["envFrom"][0]["configMapRef"]["name"], &settings),
            (&work["env"][0]["valueFrom"]["secretKeyRef"]["name"], &keys),
            (&pod["volumes"][0]["configMap"]["name"], &settings),
            (&pod["volumes"][1]["secret"]["secretName"], &keys),
            (&pod["volumes"][2]["persistentVolumeClaim"]["claimName"], &Value::from("dev-data")),
            (&pod["volumes"][3]["projected"]["sources"][0]["configMap"]["name"], &settings),
            (&pod["volumes"][3]["projected"]["sources"][1]["secret"]["name"], &keys),
        ] {
            assert_eq!(said, expected);
        }
    })
    .await;
}
