{{/* The flags of `task-manager run`, by their environment variables. */}}
{{- define "task-manager.env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: TASK_MANAGER_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: TASK_MANAGER_HEALTH_ADDR, value: "[::]:8081"}
- {name: TASK_MANAGER_LEASE, value: {{ include "task-manager.fullname" . }}}
- {name: TASK_MANAGER_LEASE_NAMESPACE, value: {{ .Release.Namespace }}}
{{- with .Values.watchNamespace }}
- {name: TASK_MANAGER_WATCH_NAMESPACE, value: {{ . }}}
{{- end }}
- name: TASK_MANAGER_ARCHIVE
{{- if .Values.archive.postgres.secretName }}
  valueFrom: {secretKeyRef: {name: {{ .Values.archive.postgres.secretName }}, key: {{ .Values.archive.postgres.secretKey }}}}
{{- else }}
  value: sqlite:/var/lib/task-manager/archive.db
{{- end }}
- {name: TASK_MANAGER_ARCHIVE_KEEP_DAYS, value: {{ .Values.archive.keepDays | quote }}}
- {name: TASK_MANAGER_ARCHIVE_KEEP_RECORDS, value: {{ int64 .Values.archive.keepRecords | quote }}}
{{- if .Values.rest.enabled }}
- {name: TASK_MANAGER_HTTP_ADDR, value: "[::]:8080"}
- {name: TASK_MANAGER_REST_NAMESPACES, value: {{ join "," .Values.rest.namespaces | default (.Values.watchNamespace | default .Release.Namespace) | quote }}}
{{- end }}
{{- if .Values.worker.enabled }}
- {name: TASK_MANAGER_WORKER_ADDR, value: "[::]:8082"}
- {name: TASK_MANAGER_WORKER_URL, value: "http://{{ include "task-manager.fullname" . }}-worker.{{ .Release.Namespace }}:{{ .Values.worker.port }}"}
{{- end }}
- {name: TASK_MANAGER_DEFAULT_QUEUE_TASKS, value: {{ int64 .Values.queue.defaultTasks | quote }}}
{{- if not (kindIs "invalid" .Values.queue.maxRunningTasks) }}
- {name: TASK_MANAGER_MAX_RUNNING_TASKS, value: {{ int64 .Values.queue.maxRunningTasks | quote }}}
{{- end }}
- {name: TASK_MANAGER_DEFAULT_MEMORY_LIMIT, value: {{ .Values.pods.defaultMemoryLimit | quote }}}
- {name: TASK_MANAGER_DEFAULT_MEMORY_REQUEST, value: {{ .Values.pods.defaultMemoryRequest | quote }}}
- {name: TASK_MANAGER_UNSCHEDULABLE_SECONDS, value: {{ int64 .Values.pods.unschedulableSeconds | quote }}}
- {name: TASK_MANAGER_KEEP_FINISHED_SECONDS, value: {{ int64 .Values.pods.keepFinishedSeconds | quote }}}
- {name: TASK_MANAGER_KEEP_FINISHED, value: {{ int64 .Values.pods.keepFinished | quote }}}
- {name: TASK_MANAGER_PRIORITY_CLASS_PREFIX, value: {{ .Values.priorityClasses.prefix }}}
- {name: TASK_MANAGER_LOG_FORMAT, value: {{ .Values.log.format }}}
- {name: TASK_MANAGER_LOG, value: {{ .Values.log.filter | quote }}}
{{- end }}
