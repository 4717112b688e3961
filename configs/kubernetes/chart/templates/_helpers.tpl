{{- define "refresher.labels" -}}
app.kubernetes.io/name: refresher
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "refresher.selector" -}}
app.kubernetes.io/name: refresher
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "refresher.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "refresher.root" -}}
{{ .Values.node.root | default "/run/refresher" }}
{{- end }}

{{- define "refresher.nodeConfiguration" -}}
{{- $fixed := dict "version" 1 "directory_root" (include "refresher.root" .) "targets_directory" "/etc/refresher/targets.d" "listen" "0.0.0.0:8099" -}}
{{- mergeOverwrite (deepCopy .Values.node.configuration) $fixed | toYaml -}}
{{- end }}

{{- define "refresher.provider" -}}
projects/{{ .Values.pod.projectNumber }}/locations/global/workloadIdentityPools/{{ .Values.pod.pool }}/providers/{{ .Values.pod.provider }}
{{- end }}

{{- define "refresher.podConfiguration" -}}
version: 1
{{- with .Values.pod.project }}
project: {{ . | quote }}
{{- end }}
providers:
  main: {project_number: {{ .Values.pod.projectNumber | quote }}, pool: {{ .Values.pod.pool | quote }}, provider: {{ .Values.pod.provider | quote }}}
suppliers:
  pod: {kind: file, path: /var/run/secrets/refresher/token}
identities:
  main: {{ if .Values.pod.serviceAccountEmail }}{service_account: {{ .Values.pod.serviceAccountEmail | quote }}}{{ else }}{}{{ end }}
directory_root: /run/refresher
targets:
  main: {{ if eq .Values.topology "sidecar-metadata" }}{environment: metadata, metadata: {netns: own}}{{ else }}{}{{ end }}
listen: none
{{- with .Values.pod.canary }}
canary: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "refresher.podEnvironment" -}}
{{- if eq .Values.topology "sidecar-metadata" }}
{{- range tuple "GCE_METADATA_HOST" "GCE_METADATA_IP" "GCE_METADATA_ROOT" }}
- {name: {{ . }}, value: "127.0.0.1:8174"}
{{- end }}
- {name: METADATA_SERVER_DETECTION, value: "assume-present"}
- {name: GCE_METADATA_MTLS_MODE, value: "none"}
- {name: NO_PROXY, value: "127.0.0.1"}
{{- else }}
{{- range tuple "GOOGLE_APPLICATION_CREDENTIALS" "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE" }}
- {name: {{ . }}, value: "/run/refresher/main/credentials.json"}
{{- end }}
{{- end }}
{{- with .Values.pod.project }}
{{- $project := . }}
{{- range tuple "GOOGLE_CLOUD_PROJECT" "GCLOUD_PROJECT" "CLOUDSDK_CORE_PROJECT" }}
- {name: {{ . }}, value: {{ $project | quote }}}
{{- end }}
{{- end }}
{{- end }}
