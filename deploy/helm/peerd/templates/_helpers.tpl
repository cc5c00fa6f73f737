{{- define "peerd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "peerd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "peerd.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "peerd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "peerd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "peerd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "peerd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* A value of TOML. Helm holds whole numbers as floating-point numbers. */}}
{{- define "peerd.tomlValue" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ toRawJson . }}{{ end }}
{{- end }}

{{/* The configuration file: options at the top, then the sections. */}}
{{- define "peerd.config" -}}
{{- range $key, $value := .Values.config }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "peerd.tomlValue" $value }}
{{- end }}
{{- end }}
{{- range $section, $options := .Values.config }}
{{- if kindIs "map" $options }}

[{{ $section }}]
{{- range $key, $value := $options }}
{{ $key }} = {{ include "peerd.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The annotation of pods that restarts them after a change of the configuration. */}}
{{- define "peerd.checksum" -}}
checksum/config: {{ include "peerd.config" . | sha256sum }}
{{- end }}

{{/* The container of peerd. */}}
{{- define "peerd.container" -}}
name: peerd
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/peerd/peerd.toml]
env:
  - name: PEERD__HTTP__LISTEN
    value: "0.0.0.0:{{ .Values.metrics.port }}"
  {{- with .Values.auth }}
  {{- if .credentialsKey }}
  - name: PEERD__NATS__CREDENTIALS_FILE
    value: /etc/peerd-nats/{{ .credentialsKey }}
  {{- else }}
  - name: PEERD__NATS__USER
    valueFrom:
      secretKeyRef: {name: {{ .existingSecret }}, key: {{ .userKey }}}
  - name: PEERD__NATS__PASSWORD
    valueFrom:
      secretKeyRef: {name: {{ .existingSecret }}, key: {{ .passwordKey }}}
  {{- end }}
  {{- end }}
  {{- with .Values.tls }}
  {{- if .existingSecret }}
  - name: PEERD__NATS__TLS_REQUIRED
    value: "true"
  - name: PEERD__NATS__TLS_CA_FILE
    value: /etc/peerd-tls/{{ .caKey }}
  {{- if and .certKey .keyKey }}
  - name: PEERD__NATS__TLS_CERTIFICATE_FILE
    value: /etc/peerd-tls/{{ .certKey }}
  - name: PEERD__NATS__TLS_KEY_FILE
    value: /etc/peerd-tls/{{ .keyKey }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - {name: metrics, containerPort: {{ .Values.metrics.port }}}
# Live unless it is stuck, whatever NATS does; ready once it serves its users.
livenessProbe:
  httpGet: {path: /livez, port: metrics}
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: peerd-config, mountPath: /etc/peerd, readOnly: true}
  {{- if .Values.auth.credentialsKey }}
  - {name: peerd-nats, mountPath: /etc/peerd-nats, readOnly: true}
  {{- end }}
  {{- if .Values.tls.existingSecret }}
  - {name: peerd-tls, mountPath: /etc/peerd-tls, readOnly: true}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{/* The same as a native sidecar, for the initContainers of another chart's pods. */}}
{{- define "peerd.sidecar" -}}
{{ include "peerd.container" . }}
restartPolicy: Always
{{- end }}

{{/* The volumes that the container needs. */}}
{{- define "peerd.volumes" -}}
- name: peerd-config
  configMap: {name: {{ include "peerd.fullname" . }}}
{{- if .Values.auth.credentialsKey }}
- name: peerd-nats
  secret: {secretName: {{ .Values.auth.existingSecret }}}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: peerd-tls
  secret: {secretName: {{ .Values.tls.existingSecret }}}
{{- end }}
{{- end }}
