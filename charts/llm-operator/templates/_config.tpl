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
  "leaderElection" (dict "leaseName" (include "llm-operator.fullname" .))
-}}
{{- if not .Values.admissionPolicy.enabled }}{{ $_ := set $config "nudge" false }}{{ end -}}
{{- toYaml $config }}
{{ include "llm-operator.profiles" . }}
{{- end }}

{{- define "llm-operator.profiles" -}}
{{- toYaml (dict "engineProfiles" .Values.engineProfiles "acceleratorProfiles" .Values.acceleratorProfiles) -}}
{{- end }}
