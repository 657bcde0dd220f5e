{{/* The flags of `task-manager run`, by their environment variables. */}}
{{- define "task-manager.env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TASK_MANAGER_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: TASK_MANAGER_REPLICAS, value: {{ max 1 .Values.replicas | quote }}}
- {name: TASK_MANAGER_HEALTH_ADDR, value: "{{ .Values.bind }}:8081"}
- {name: TASK_MANAGER_LEASE, value: {{ include "task-manager.fullname" . }}}
- {name: TASK_MANAGER_LEASE_NAMESPACE, value: $(POD_NAMESPACE)}
{{- with .Values.watchNamespace }}
- {name: TASK_MANAGER_WATCH_NAMESPACE, value: {{ . | quote }}}
{{- end }}
- name: TASK_MANAGER_ARCHIVE
{{- if .Values.archive.postgres.secretName }}
  valueFrom: {secretKeyRef: {name: {{ .Values.archive.postgres.secretName }}, key: {{ .Values.archive.postgres.secretKey }}}}
{{- else }}
  value: sqlite:/var/lib/task-manager/archive.db
{{- end }}
{{- if .Values.archive.adopt }}
- {name: TASK_MANAGER_ADOPT_ARCHIVE, value: "true"}
{{- end }}
- {name: TASK_MANAGER_ARCHIVE_KEEP_DAYS, value: {{ .Values.archive.keepDays | quote }}}
- {name: TASK_MANAGER_ARCHIVE_KEEP_RECORDS, value: {{ int64 .Values.archive.keepRecords | quote }}}
{{- if .Values.rest.enabled }}
- {name: TASK_MANAGER_HTTP_ADDR, value: "{{ .Values.bind }}:8080"}
- {name: TASK_MANAGER_REST_NAMESPACES, value: {{ join "," .Values.rest.namespaces | default (.Values.watchNamespace | default "$(POD_NAMESPACE)") | quote }}}
{{- end }}
{{- if .Values.worker.enabled }}
- {name: TASK_MANAGER_WORKER_ADDR, value: "{{ .Values.bind }}:8082"}
# A variable of its own, so that a kustomization which renames the Service renames it here too.
- {name: WORKER_SERVICE, value: {{ include "task-manager.fullname" . }}-worker}
- {name: TASK_MANAGER_AGENT_IMAGE, value: {{ include "task-manager.image" . | quote }}}
- {name: TASK_MANAGER_WORKER_URL, value: "http://$(WORKER_SERVICE).$(POD_NAMESPACE):{{ .Values.worker.port }}"}
{{- end }}
- {name: TASK_MANAGER_DEFAULT_QUEUE_TASKS, value: {{ int64 .Values.queue.defaultTasks | quote }}}
{{- if not (kindIs "invalid" .Values.queue.maxRunningTasks) }}
- {name: TASK_MANAGER_MAX_RUNNING_TASKS, value: {{ int64 .Values.queue.maxRunningTasks | quote }}}
{{- end }}
- {name: TASK_MANAGER_MAX_KNOWN_TASKS, value: {{ int64 .Values.queue.maxKnownTasks | quote }}}
- {name: TASK_MANAGER_DEFAULT_MEMORY_LIMIT, value: {{ .Values.pods.defaultMemoryLimit | quote }}}
- {name: TASK_MANAGER_DEFAULT_MEMORY_REQUEST, value: {{ .Values.pods.defaultMemoryRequest | quote }}}
- {name: TASK_MANAGER_UNSCHEDULABLE_SECONDS, value: {{ int64 .Values.pods.unschedulableSeconds | quote }}}
- {name: TASK_MANAGER_KEEP_FINISHED_SECONDS, value: {{ int64 .Values.pods.keepFinishedSeconds | quote }}}
- {name: TASK_MANAGER_KEEP_FINISHED, value: {{ int64 .Values.pods.keepFinished | quote }}}
- {name: TASK_MANAGER_PRIORITY_CLASS_PREFIX, value: {{ .Values.priorityClasses.prefix }}}
- {name: TASK_MANAGER_LOG_FORMAT, value: {{ .Values.log.format }}}
- {name: TASK_MANAGER_LOG, value: {{ .Values.log.filter | quote }}}
{{- end }}
