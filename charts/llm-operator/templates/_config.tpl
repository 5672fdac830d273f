{{/* What the operator reads at start. Names and defaults: operator/llm_operator/api/config.py. */}}
{{- define "llm-operator.config" -}}
{{- $config := dict
  "images" (dict "sidecar" (include "llm-operator.image" (list . "sidecar")) "fetcher" (include "llm-operator.image" (list . "fetcher")))
  "imagePullPolicy" .Values.image.pullPolicy
  "imagePullSecrets" .Values.image.pullSecrets
  "sources" .Values.sources
  "sidecarResources" (include "llm-operator.resources" .Values.sidecarResources | fromYaml)
  "fetcherResources" (include "llm-operator.resources" .Values.fetcherResources | fromYaml)
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
{{- range $kept -}}
{{- if hasKey . "memory" }}{{ $_ := set . "memory" (include "llm-operator.quantity" .memory) }}{{ end -}}
{{- end -}}
{{- if not $kept }}{{ fail (printf "%s has no profile left: every one of them is null" $key) }}{{ end -}}
{{- $_ := set $profiles $key $kept -}}
{{- end -}}
{{- toYaml $profiles -}}
{{- end }}

{{/* A quantity as text: a number of a values file is a float, which YAML would write with an exponent when it is large. */}}
{{- define "llm-operator.quantity" -}}
{{- if kindIs "float64" . -}}
{{- regexReplaceAll "\\.?0+$" (printf "%.9f" .) "" -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end }}

{{/* Requests and limits with every quantity as text. */}}
{{- define "llm-operator.resources" -}}
{{- $resources := dict -}}
{{- range $part, $quantities := . -}}
{{- $texts := dict -}}
{{- range $name, $quantity := $quantities }}{{ $_ := set $texts $name (include "llm-operator.quantity" $quantity) }}{{ end -}}
{{- $_ := set $resources $part $texts -}}
{{- end -}}
{{- toYaml $resources -}}
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
