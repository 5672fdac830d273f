{{/* The name of one policy. Policies belong to the cluster, so the release's namespace is part of it. Takes (list $ "pods"). */}}
{{- define "llm-operator.policy" -}}
{{- $root := first . -}}
{{- printf "%s.%s.%s" (last .) (include "llm-operator.fullname" $root) $root.Release.Namespace -}}
{{- end }}

{{/* Every policy is about the operator's own account and no one else, fails closed, and lets it act only where it serves. */}}
{{- define "llm-operator.policy.scope" -}}
failurePolicy: Fail
matchConditions:
  - name: by-the-operator
    expression: request.userInfo.username == {{ include "llm-operator.username" . | squote }}
{{- end }}

{{- define "llm-operator.policy.namespace" -}}
{{- if .Values.clusterWide -}}
- expression: "!request.namespace.startsWith('kube-')"
  messageExpression: "'llm-operator does not act in namespace ' + request.namespace"
{{- else -}}
- expression: request.namespace in {{ include "llm-operator.namespaces" . | replace "\"" "'" }}
  messageExpression: "'llm-operator does not serve namespace ' + request.namespace + ': see the value namespaces of its chart'"
{{- end -}}
{{- end }}

{{/* The repositories engines, sidecars and fetchers may come from, as a list in CEL. Tags are free: an engine keeps the
     image it was made with, also when the operator and its profiles have moved on. */}}
{{- define "llm-operator.policy.repositories" -}}
{{- $images := list (include "llm-operator.image" (list . "sidecar")) (include "llm-operator.image" (list . "fetcher")) -}}
{{- range .Values.engineProfiles }}{{ with . }}{{ $images = append $images .image }}{{ end }}{{ end -}}
{{- $repositories := list -}}
{{- range concat $images .Values.admissionPolicy.extraImages -}}
{{- $repositories = append $repositories (regexReplaceAll ":[^/]*$" (regexReplaceAll "@.*$" . "") "") -}}
{{- end -}}
{{- $repositories | uniq | sortAlpha | toJson | replace "\"" "'" -}}
{{- end }}

{{- define "llm-operator.policy.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "llm-operator.policy" . }}
  labels: {{- include "llm-operator.labels" (first .) | nindent 4 }}
spec:
  policyName: {{ include "llm-operator.policy" . }}
  validationActions: [Deny]
{{- end }}
