{{- define "task-manager.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "task-manager.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "task-manager.labels" -}}
{{ include "task-manager.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of the pod of `helm test`. They differ from the selector's, or it would be taken for a replica. */}}
{{- define "task-manager.testLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "task-manager.account" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "task-manager.fullname" . }}
{{- else }}default
{{- end }}
{{- end }}

{{- define "task-manager.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* The rules of files/rights.yaml that are not left out. Takes a list of them and the names to leave out. */}}
{{- define "task-manager.rules" -}}
{{- $without := .without }}
{{- $rules := list }}
{{- range .rights }}
{{- if not (and .name (has .name $without)) }}
{{- $rule := printf "# %s\n- apiGroups: %s\n  resources: %s\n  verbs: %s" .why (toJson .apiGroups) (toJson .resources) (toJson .verbs) }}
{{- $rules = append $rules $rule }}
{{- end }}
{{- end }}
{{- join "\n" $rules }}
{{- end }}

{{/* The namespaces that REST serves, with commas between them. */}}
{{- define "task-manager.restNamespaces" -}}
{{- join "," .Values.rest.namespaces | default .Values.watchNamespace | default .Release.Namespace }}
{{- end }}

{{/* The schema's rule about replicas once more, for it can be skipped; and one that a schema cannot say. */}}
{{- define "task-manager.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.archive.postgres.secretName) }}
{{- fail "replicas: several replicas need one archive that all reach: name a PostgreSQL in archive.postgres.secretName, or set replicas to 1" }}
{{- end }}
{{- if and .Values.watchNamespace .Values.rest.namespaces (ne (join "," .Values.rest.namespaces) .Values.watchNamespace) }}
{{- fail (printf "rest.namespaces: only the watched namespace %s can be served: leave rest.namespaces empty" .Values.watchNamespace) }}
{{- end }}
{{- end }}
