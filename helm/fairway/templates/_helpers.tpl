{{/* Names are fixed, not made from the release's: two operators over one namespace would fight, and this way helm refuses the second. */}}

{{- define "fairway.selector" -}}
app.kubernetes.io/name: fairway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "fairway.labels" -}}
{{ include "fairway.selector" . }}
app.kubernetes.io/part-of: fairway
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "fairway.metadata" -}}
name: {{ .name | default (printf "fairway-%s" .component) }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "fairway.labels" . | nindent 2 }}
{{- end }}

{{- define "fairway.image" -}}
{{- $name := list .image.registry .image.repository | compact | join "/" -}}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The volume with the certificate of collector, operator or servers, as one line of JSON. */}}
{{- define "fairway.certificates" -}}
{{- $secret := dict "secretName" (printf "fairway-%s-tls" (trimSuffix "s" .of)) -}}
{{ index .root.Values.collector.tls .of | default (dict "secret" $secret) | toJson }}
{{- end }}

{{- define "fairway.podMetadata" -}}
labels:
  {{- include "fairway.selector" . | nindent 2 }}
  {{- with .shard }}
  {{ . }}
  {{- end }}
  app.kubernetes.io/part-of: fairway
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What every pod of ours has, the restricted Pod Security Standard included. */}}
{{- define "fairway.pod" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* HOME and the working directory are /tmp, the only place that may be written. */}}
{{- define "fairway.container" -}}
{{ include "fairway.containerOf" (dict "root" . "image" .Values.operator.image) }}
{{- end }}

{{- define "fairway.containerOf" -}}
image: {{ include "fairway.image" . }}
imagePullPolicy: {{ .image.pullPolicy }}
workingDir: /tmp
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
