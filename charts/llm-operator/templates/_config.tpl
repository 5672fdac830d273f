{{/* What the operator reads at start. Names and defaults: operator/llm_operator/api/config.py. */}}
{{- define "llm-operator.config" -}}
{{- $config := dict
  "images" (dict "sidecar" (include "llm-operator.image" (list . "sidecar")) "fetcher" (include "llm-operator.image" (list . "fetcher")))
  "imagePullPolicy" .Values.image.pullPolicy
  "imagePullSecrets" .Values.image.pullSecrets
  "sources" .Values.sources
  "sidecarResources" .Values.sidecarResources
  "fetcherResources" .Values.fetcherResources
  "namespaces" (include "llm-operator.namespaces" . | fromJsonArray)
  "clusterWide" .Values.clusterWide
  "operatorNamespace" .Release.Namespace
  "monitoringNamespaces" .Values.monitoringNamespaces
  "modelCheckSeconds" (int .Values.modelCheckSeconds)
  "resyncSeconds" (int .Values.resyncSeconds)
  "gates" (include "llm-operator.gates" . | fromYaml)
  "leaderElection" (dict "leaseName" (include "llm-operator.fullname" .))
-}}
{{- if not .Values.admissionPolicy.enabled }}{{ $_ := set $config "nudge" false }}{{ end -}}
{{- if .Values.gateway.enabled }}{{ $_ := set $config "gateway" true }}{{ end -}}
{{- if not .Values.scalingConflicts.enabled }}{{ $_ := set $config "scalingConflicts" false }}{{ end -}}
{{- toYaml $config }}
{{ include "llm-operator.profiles" . }}
{{- end }}

{{- define "llm-operator.profiles" -}}
{{- $profiles := dict -}}
{{- range $key := list "engineProfiles" "acceleratorProfiles" -}}
{{- $kept := include "llm-operator.kept" (index $.Values $key) | fromYaml -}}
{{- if not $kept }}{{ fail (printf "%s has no profile left: every one of them is null" $key) }}{{ end -}}
{{- $_ := set $profiles $key $kept -}}
{{- end -}}
{{- toYaml $profiles -}}
{{- end }}

{{/* A map without its nulls: Helm drops a null only where the chart itself has that key. */}}
{{- define "llm-operator.kept" -}}
{{- $kept := dict -}}
{{- range $name, $each := . -}}
{{- if not (kindIs "invalid" $each) }}{{ $_ := set $kept $name $each }}{{ end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end }}

{{/* Who answers gates, as the operator reads it: a Secret is a file there. */}}
{{- define "llm-operator.gates" -}}
{{- $webhooks := dict -}}
{{- range $name, $server := .Values.gates.webhooks -}}
{{- $_ := set $webhooks $name (include "llm-operator.gateServer" (list $server (printf "webhook-%s" $name)) | fromYaml) -}}
{{- end -}}
{{- $gates := dict "webhooks" $webhooks -}}
{{- with .Values.gates.prometheus -}}
{{- if .url }}{{ $_ := set $gates "prometheus" (include "llm-operator.gateServer" (list . "prometheus") | fromYaml) }}{{ end -}}
{{- end -}}
{{- toYaml $gates -}}
{{- end }}

{{- define "llm-operator.gateServer" -}}
{{- $server := index . 0 -}}
url: {{ $server.url | quote }}
{{- if $server.tokenSecret }}
tokenFile: {{ printf "/etc/llm-operator-tokens/%s" (index . 1) }}
{{- end }}
{{- end }}

{{/* The tokens of those who answer gates, as sources of a projected volume. */}}
{{- define "llm-operator.gateTokens" -}}
{{- $sources := list -}}
{{- with (.Values.gates.prometheus | default dict).tokenSecret -}}
{{- $sources = append $sources (dict "secret" (dict "name" .name "items" (list (dict "key" .key "path" "prometheus")))) -}}
{{- end -}}
{{- range $name, $server := .Values.gates.webhooks -}}
{{- with $server.tokenSecret -}}
{{- $item := dict "key" .key "path" (printf "webhook-%s" $name) -}}
{{- $sources = append $sources (dict "secret" (dict "name" .name "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $sources -}}
{{- end }}
