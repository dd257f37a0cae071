{{/* How everything is called. */}}

{{- define "hurnet.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* What selects the pods of this release; with `role`, those of one role. Must never change for a release. */}}
{{- define "hurnet.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "hurnet.labels" -}}
{{ include "hurnet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "hurnet.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "hurnet.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "hurnet.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/*
What each role is: the kind of its workload, and whether it talks to Kafka, to Redis and to slices. Roles that write in
transactions are StatefulSets: one that comes back has the name of the one that died, so that Kafka ends the
transaction of that one at once, and not after its time-out. Slices are one for the number in their names. `kafkaUser` and `redisUser` are what {user} stands for
in user names and keys, if it is not the role's own name: docs/rights.md says what each may do.
*/}}
{{- define "hurnet.roles" -}}
ingest: { kind: Deployment, kafka: true, redis: true }
solver: { kind: Deployment, kafka: false, redis: true }
responder: { kind: StatefulSet, kafka: true, redis: true, slices: true, instance: HURNET_RESPONDER_INSTANCE }
slice: { kind: StatefulSet, kafka: false, redis: true, slices: true, instance: HURNET_SLICES_INSTANCE }
feedback: { kind: StatefulSet, kafka: true, redis: false, instance: HURNET_FEEDBACK_INSTANCE }
gateway: { kind: Deployment, kafka: true, redis: true, http: true }
canary: { kind: Deployment, kafka: true, redis: true, redisUser: reader }
topics: { kind: Job, kafka: true, redis: false, kafkaUser: operator }
backup: { kind: CronJob, kafka: true, redis: true, kafkaUser: operator, redisUser: operator }
doctor: { kind: Pod, kafka: true, redis: true, kafkaUser: operator, redisUser: operator }
{{- end -}}
