{{- define "llm-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "llm-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "llm-operator.fullname" .) -}}
{{- end }}

{{- define "llm-operator.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "llm-operator.serviceAccount" .) -}}
{{- end }}

{{- define "llm-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* managed-by is Helm and never llm-operator: the operator's watches and its admission policy tell its own objects by that label. */}}
{{- define "llm-operator.labels" -}}
{{ include "llm-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The full reference of one of our three images. Takes (list $ "sidecar"). */}}
{{- define "llm-operator.image" -}}
{{- $root := first . -}}
{{- $image := index $root.Values.image (last .) -}}
{{- $registry := required "image.registry is required: where the images of llm-operator were pushed, e.g. --set image.registry=registry.example.com/llm" $root.Values.image.registry -}}
{{- $repository := printf "%s/%s" (trimSuffix "/" $registry) $image.name -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* The namespaces served, as a JSON list; empty when cluster-wide. */}}
{{- define "llm-operator.namespaces" -}}
{{- if .Values.clusterWide -}}
{{- if .Values.namespaces -}}
{{- fail "clusterWide and namespaces exclude each other: clusterWide=true serves every namespace, so leave namespaces empty" -}}
{{- end -}}
[]
{{- else -}}
{{- .Values.namespaces | default (list .Release.Namespace) | uniq | sortAlpha | toJson -}}
{{- end -}}
{{- end }}

{{/* The rules of the operator's Role: what every installation needs, `patch` on pods only where a policy holds it in bounds, and optional kinds. */}}
{{- define "llm-operator.granted" -}}
{{- include "llm-operator.rules" . }}
{{- if .Values.admissionPolicy.enabled }}
{{ include "llm-operator.rules.nudge" . }}
{{- end }}
{{- if .Values.gateway.enabled }}
{{ include "llm-operator.rules.gateway" . }}
{{- end }}
{{- if .Values.scalingConflicts.enabled }}
{{ include "llm-operator.rules.scalers" . }}
{{- end }}
{{- end }}
