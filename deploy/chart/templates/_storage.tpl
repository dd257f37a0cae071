{{/*
What pods keep, or read, that is no secret: the settings file, the rows of a responder or slice on a disk (tiers), and
sealed segments. All take what hurnet.settings takes.
*/}}

{{/*
The ConfigMap with the settings file, "" if there is none. The hook that makes topics runs before the release has
one, and needs no table.
*/}}
{{- define "hurnet.config" -}}
{{- $config := .root.Values.config -}}
{{- if eq .is.kind "Job" -}}
{{- else if $config.configMap -}}
{{ $config.configMap }}
{{- else if $config.toml -}}
{{ include "hurnet.fullname" .root }}-config
{{- end -}}
{{- end -}}

{{/* "yes" if the pod holds rows: a slice, or a responder if there are no slices. */}}
{{- define "hurnet.holdsRows" -}}
{{- $sliced := dig "slice" "enabled" false .root.Values.roles -}}
{{- if or (eq .role "slice") (and (eq .role "responder") (not $sliced)) -}}yes{{- end -}}
{{- end -}}

{{/* "yes" if its rows lie on a disk. */}}
{{- define "hurnet.tiers" -}}
{{- if and .root.Values.tiers.enabled (include "hurnet.holdsRows" .) -}}yes{{- end -}}
{{- end -}}

{{/* Where sealed segments are; "" for whoever does not read the store. */}}
{{- define "hurnet.segments" -}}
{{- $segments := .root.Values.segments -}}
{{- if not .is.redis -}}
{{- else if $segments.claim -}}
/var/lib/hurnet/segments
{{- else -}}
{{ $segments.url }}
{{- end -}}
{{- end -}}

{{/* The variable by which the tools of an object store are told of a file of credentials. */}}
{{- define "hurnet.segmentsTool" -}}
{{- hasPrefix "gs:" .root.Values.segments.url | ternary "GOOGLE_APPLICATION_CREDENTIALS" "AWS_SHARED_CREDENTIALS_FILE" -}}
{{- end -}}

{{- define "hurnet.storageSettings" -}}
{{- if include "hurnet.tiers" . }}
HURNET_RESPONDER_FOLDER: /var/lib/hurnet/rows
{{- end }}
{{- with include "hurnet.segments" . }}
HURNET_SEGMENTS_URL: {{ . }}
{{- end }}
{{- end -}}

{{- define "hurnet.storageEnv" -}}
{{- if include "hurnet.config" . }}
- { name: HURNET_CONFIG, value: /etc/hurnet/config/{{ .root.Values.config.key }} }
{{- end }}
{{- if and (include "hurnet.segments" .) .root.Values.segments.credentials.secret }}
- { name: {{ include "hurnet.segmentsTool" . }}, value: /etc/hurnet/segments/{{ .root.Values.segments.credentials.key }} }
{{- end }}
{{- end -}}

{{- define "hurnet.storageMounts" -}}
{{- if include "hurnet.config" . }}
- { name: config, mountPath: /etc/hurnet/config, readOnly: true }
{{- end }}
{{- if include "hurnet.tiers" . }}
- { name: rows, mountPath: /var/lib/hurnet/rows }
{{- end }}
{{- if include "hurnet.segments" . }}
{{- if .root.Values.segments.claim }}
- { name: segments, mountPath: /var/lib/hurnet/segments }
{{- end }}
{{- if .root.Values.segments.credentials.secret }}
- { name: segments-credentials, mountPath: /etc/hurnet/segments, readOnly: true }
{{- end }}
{{- end }}
{{- end -}}

{{- define "hurnet.storageVolumes" -}}
{{- with include "hurnet.config" . }}
- name: config
  configMap:
    name: {{ . }}
    defaultMode: 0444
    items: [{ key: {{ $.root.Values.config.key }}, path: {{ $.root.Values.config.key }} }]
{{- end }}
{{- if include "hurnet.segments" . }}
{{- with .root.Values.segments.claim }}
- name: segments
  persistentVolumeClaim: { claimName: {{ . }} }
{{- end }}
{{- with .root.Values.segments.credentials }}
{{- if .secret }}
- name: segments-credentials
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{ key: {{ .key }}, path: {{ .key }} }]
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A disk for each pod, which it keeps over restarts and rollouts. It is a cache: it goes with its pod's number. */}}
{{- define "hurnet.storageClaims" -}}
{{- $tiers := .root.Values.tiers -}}
persistentVolumeClaimRetentionPolicy: { whenDeleted: Delete, whenScaled: Delete }
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: rows
      labels: {{- include "hurnet.selector" . | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with $tiers.storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources: { requests: { storage: {{ $tiers.size }} } }
{{- end -}}
