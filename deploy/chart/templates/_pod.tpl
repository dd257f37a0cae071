{{/* The pod of one role, confined as Pod Security "restricted" asks. Takes what hurnet.settings takes. */}}
{{- define "hurnet.pod" -}}
{{- $v := .root.Values -}}
{{- $probed := has .is.kind (list "Deployment" "StatefulSet") -}}
enableServiceLinks: false # a Service named hurnet-* would put variables into the pod that look like settings
automountServiceAccountToken: false
{{- with $v.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- if $probed }}
serviceAccountName: {{ include "hurnet.account" .root }}
# What a worker drains in, and time to close.
terminationGracePeriodSeconds: {{ add 20 (include "hurnet.seconds" (list . "HURNET_LIFECYCLE_DRAIN" 10)) }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "hurnet.selector" $ | nindent 8 }}
  {{- end }}
{{- else }}
restartPolicy: Never
{{- if ne .is.kind "Job" }}
serviceAccountName: {{ include "hurnet.account" .root }}
{{- else if .own.serviceAccountName }}
serviceAccountName: {{ .own.serviceAccountName }}
{{- end }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
containers:
  - name: {{ .role }}
    image: {{ include "hurnet.image" .root }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    {{- with .command }}
    command: {{ toJson . }}
    {{- end }}
    args: {{ toJson .args }}
    env: {{- include "hurnet.env" . | nindent 6 }}
    resources: {{- toYaml .own.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: { drop: [ALL] }
    volumeMounts:
      {{- include "hurnet.mounts" . | nindent 6 }}
      {{- with $v.volumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- if $probed }}
    ports:
      - { name: metrics, containerPort: {{ $v.metrics.port | int }} }
      {{- if .is.http }}
      - { name: http, containerPort: {{ .own.port | int }} }
      {{- end }}
      {{- if eq .role "slice" }}
      - { name: slices, containerPort: {{ .own.port | int }} }
      {{- end }}
    {{- include "hurnet.probes" . | nindent 4 }}
    {{- end }}
volumes:
  {{- include "hurnet.volumes" . | nindent 2 }}
  {{- with $v.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
A worker watches over itself: a first turn of more than half an hour (HURNET_LIFECYCLE_START), or a later one of more than
120 s (HURNET_LIFECYCLE_HANG), ends it with the stacks of its threads in the log. The probes here are wider than that, so
they act only if even the watchdog is stuck. Loading a large context or checkpoint beats in between, so it is
alive; rebalances and standing by are ready.
*/}}
{{- define "hurnet.probes" -}}
startupProbe: # until the first turn has ended: the embedder is loaded, the servers were asked
  httpGet: { path: /startz, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ add 12 (div (include "hurnet.seconds" (list . "HURNET_LIFECYCLE_START" 1800)) 5) }} # a minute more than the watchdog allows
livenessProbe: # the age of the last turn or beat
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: {{ add 4 (div (include "hurnet.seconds" (list . "HURNET_LIFECYCLE_HANG" 120)) 15) }} # the same
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* A setting in seconds, or its default, rounded up. Takes a list: what hurnet.settings takes, the name, the default. */}}
{{- define "hurnet.seconds" -}}
{{- index (include "hurnet.settings" (index . 0) | fromYaml) (index . 1) | default (index . 2) | toString | float64 | ceil | int -}}
{{- end -}}
