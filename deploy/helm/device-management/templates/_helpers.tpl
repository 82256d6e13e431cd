{{- define "device-management.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "device-management.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "device-management.labels" -}}
{{ include "device-management.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* image (dict "image" IMAGE "tag" TAG) */ -}}
{{- define "device-management.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .tag .image.tag }}
{{- end -}}
{{- end -}}

{{- define "device-management.secret" -}}
{{- required "secrets.existingSecret: name a Secret that has the keys of secrets.keys (see README.md)" .Values.secrets.existingSecret -}}
{{- end -}}

{{- define "device-management.ownerSecret" -}}
{{- default (include "device-management.secret" .) .Values.migration.existingSecret -}}
{{- end -}}

{{- /* The settings that are not secret, sorted by name. The image sets MODE, the addresses and the format of the log. */ -}}
{{- define "device-management.settings" -}}
{{- range $name, $value := merge (dict "MIGRATE_ON_START" "false") .Values.settings }}
{{ $name }}: {{ if kindIs "float64" $value }}{{ int64 $value | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- /* The files of the secrets, as NAME_FILE. */ -}}
{{- define "device-management.secretFiles" -}}
{{- range $name, $key := .Values.secrets.keys }}
{{- if $key }}
- name: {{ $name }}_FILE
  value: /run/secrets/device-management/{{ $key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "device-management.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "device-management.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- /* The rules for the database and for DNS. */ -}}
{{- define "device-management.databaseAndDns" }}
    - to: {{- toYaml .dns.to | nindent 8 }}
      ports:
        - { protocol: UDP, port: 53 }
        - { protocol: TCP, port: 53 }
    - ports: [{ protocol: TCP, port: {{ .database.port }} }]
      {{- with .database.to }}
      to: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{- /* The part of a pod that both Jobs share. The chart's own ServiceAccount does not exist before the installation. */ -}}
{{- define "device-management.hookJob" }}
      serviceAccountName: default
      automountServiceAccountToken: false
      enableServiceLinks: false
      restartPolicy: Never
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* The port of the collector of traces: the configured one, or else that of the endpoint. Nothing if traces are off. */}}
{{- define "device-management.collectorPort" -}}
{{- $settings := .Values.settings }}
{{- $off := or (eq (toString $settings.OTEL_SDK_DISABLED | lower) "true") (eq (toString $settings.OTEL_TRACES_EXPORTER | lower) "none") }}
{{- $endpoint := or $settings.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT $settings.OTEL_EXPORTER_OTLP_ENDPOINT }}
{{- if and $endpoint (not $off) }}
{{- $url := urlParse $endpoint }}
{{- $own := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- coalesce .Values.networkPolicy.collector.port $own (ternary 443 80 (eq $url.scheme "https")) }}
{{- end }}
{{- end }}
