{{/*
From values to the settings and the files of one role. All take a dict: root, role, is (what hurnet.roles says of the
role), own (its values).
*/}}

{{/* Which Secret the role's passwords are in. */}}
{{- define "hurnet.secret" -}}
{{ .own.secret | default .root.Values.secret.name }}
{{- end -}}

{{/* YAML: setting -> key in the Secret, only of servers that the role talks to. */}}
{{- define "hurnet.secretKeys" -}}
{{- $keys := dict -}}
{{- if include "hurnet.secret" . -}}
{{- range $setting, $key := .root.Values.secret.keys -}}
{{- range $server := list "kafka" "redis" "slices" -}}
{{- if and (index $.is $server) (hasPrefix (printf "HURNET_%s_" (upper $server)) $setting) -}}
{{- $_ := set $keys $setting (include "hurnet.named" (list $ $server $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if .root.Values.secret.keys -}}
{{- fail "secret.keys names keys, but neither secret.name nor the role's own secret says of which Secret" -}}
{{- end -}}
{{ toYaml $keys }}
{{- end -}}

{{/*
A name in which {user} stands for the role's user at a server. Takes a list: what hurnet.settings takes, the server,
the name.
*/}}
{{- define "hurnet.named" -}}
{{- $c := index . 0 -}}
{{- index . 2 | replace "{user}" (index $c.is (printf "%sUser" (index . 1)) | default $c.role) -}}
{{- end -}}

{{/* YAML: all settings of the role, except those that are files or come from its pod. */}}
{{- define "hurnet.settings" -}}
{{- $v := .root.Values -}}
{{- $all := dict
      "HURNET_LOG_FORMAT" "json"
      "HURNET_METRICS_HOST" $v.metrics.host
      "HURNET_METRICS_PORT" $v.metrics.port
      "HURNET_REDIS_PREFIX" $v.redis.prefix -}}
{{- if .is.kafka -}}
{{- $all = merge $all (dict
      "HURNET_KAFKA_BOOTSTRAP" $v.kafka.bootstrap
      "HURNET_KAFKA_SECURITY_PROTOCOL" $v.kafka.securityProtocol
      "HURNET_KAFKA_SASL_MECHANISM" $v.kafka.saslMechanism
      "HURNET_KAFKA_USERNAME" (include "hurnet.named" (list . "kafka" $v.kafka.username))) -}}
{{- end -}}
{{- if .is.redis -}}
{{- $all = merge $all (dict
      "HURNET_REDIS_URL" $v.redis.url
      "HURNET_REDIS_USERNAME" (include "hurnet.named" (list . "redis" $v.redis.username))) -}}
{{- end -}}
{{- if eq .role "topics" -}}
{{- $all = merge $all (dict
      "HURNET_KAFKA_PARTITIONS" $v.kafka.partitions
      "HURNET_KAFKA_REPLICATION" $v.kafka.replication) -}}
{{- end -}}
{{- if and .is.slices $v.roles.slice.enabled -}}
{{- $_ := set $all "HURNET_SLICES_COUNT" $v.roles.slice.count -}}
{{- if eq .role "slice" -}}
{{- $host := contains ":" $v.metrics.host | ternary (printf "[%s]" $v.metrics.host) $v.metrics.host -}}
{{- $_ := set $all "HURNET_SLICES_LISTEN" (printf "%s:%d" $host (int .own.port)) -}}
{{- $_ := set $all "HURNET_SLICES_ADDRESS" (printf "$(HURNET_SLICES_INSTANCE).%s-slice.%s.svc:%d" (include "hurnet.fullname" .root) .root.Release.Namespace (int .own.port)) -}}
{{- end -}}
{{- end -}}
{{- if .is.http -}}
{{- $service := printf "%s-%s" (include "hurnet.fullname" .root) .role -}}
{{- $within := printf "%s.%s" $service .root.Release.Namespace -}}
{{- $all = merge $all (dict
      "HURNET_GATEWAY_HOST" $v.metrics.host
      "HURNET_GATEWAY_PORT" .own.port
      "HURNET_GATEWAY_HOSTS" (concat (list $service $within (printf "%s.svc" $within) (printf "%s.svc.cluster.local" $within)) .own.hosts | join ",")
      "HURNET_GATEWAY_KEYS" (printf "/etc/hurnet/keys/%s" .own.keys.key)) -}}
{{- end -}}
{{- range $server := list "kafka" "redis" "slices" -}}
{{- $tls := index $v.tls $server -}}
{{- if and (index $.is $server) $tls.secret -}}
{{- range $what := list "ca" "cert" "key" -}}
{{- with index $tls $what -}}
{{- $_ := set $all (printf "HURNET_%s_%s_FILE" (upper $server) (upper $what)) (printf "/etc/hurnet/%s-tls/%s" $server .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $setting, $key := include "hurnet.secretKeys" . | fromYaml -}}
{{- $_ := set $all (printf "%s_FILE" $setting) (printf "/etc/hurnet/secrets/%s" $key) -}}
{{- end -}}
{{- $all = merge $all (include "hurnet.storageSettings" . | fromYaml) -}}
{{- $all = mergeOverwrite $all (deepCopy $v.settings) (deepCopy .own.settings) -}}
{{ toYaml $all }}
{{- end -}}

{{/* The env of a container. Numbers of YAML are floats: without `int` a million would be 1e+06. */}}
{{- define "hurnet.env" -}}
- { name: OMP_NUM_THREADS, value: "1" } # idle threads of numpy spin, and take the other workers' cores
{{- include "hurnet.storageEnv" . }}
{{- with .is.instance }}
- name: {{ . }}
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- end }}
{{- range $name, $value := include "hurnet.settings" . | fromYaml }}
{{- if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value = int64 $value }}{{ end }}{{ end }}
{{- if ne (toString $value) "" }}
- name: {{ $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "hurnet.mounts" -}}
- { name: tmp, mountPath: /tmp }
{{- include "hurnet.storageMounts" . }}
{{- if .own.claim }}
- { name: backups, mountPath: /backups }
{{- end }}
{{- if .is.http }}
- { name: keys, mountPath: /etc/hurnet/keys, readOnly: true } # a folder, so that a new file comes without a restart
{{- end }}
{{- if include "hurnet.secretKeys" . | fromYaml }}
- { name: secrets, mountPath: /etc/hurnet/secrets, readOnly: true }
{{- end }}
{{- range $server := list "kafka" "redis" "slices" }}
{{- if and (index $.is $server) (index $.root.Values.tls $server).secret }}
- { name: {{ $server }}-tls, mountPath: /etc/hurnet/{{ $server }}-tls, readOnly: true }
{{- end }}
{{- end }}
{{- end -}}

{{- define "hurnet.volumes" -}}
- name: tmp
  emptyDir: { sizeLimit: 256Mi }
{{- include "hurnet.storageVolumes" . }}
{{- with .own.claim }}
- name: backups
  persistentVolumeClaim: { claimName: {{ . }} }
{{- end }}
{{- if .is.http }}
- name: keys
  secret:
    secretName: {{ .own.keys.secret }}
    defaultMode: 0440
    items: [{ key: {{ .own.keys.key }}, path: {{ .own.keys.key }} }]
{{- end }}
{{- with include "hurnet.secretKeys" . | fromYaml }}
- name: secrets
  secret:
    secretName: {{ include "hurnet.secret" $ }}
    defaultMode: 0440
    items:
      {{- range $key := values . | uniq | sortAlpha }}
      - { key: {{ $key }}, path: {{ $key }} }
      {{- end }}
{{- end }}
{{- range $server := list "kafka" "redis" "slices" }}
{{- $tls := index $.root.Values.tls $server }}
{{- if and (index $.is $server) $tls.secret }}
- name: {{ $server }}-tls
  secret:
    secretName: {{ $tls.secret }}
    defaultMode: 0440
    items:
      {{- range $key := compact (list $tls.ca $tls.cert $tls.key) | uniq }}
      - { key: {{ $key }}, path: {{ $key }} }
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The consumer group of a role, as the workers themselves name it. */}}
{{- define "hurnet.group" -}}
{{- $settings := include "hurnet.settings" . | fromYaml -}}
{{- index $settings (printf "HURNET_%s_GROUP" (upper .role)) | default (printf "%s-%s" $settings.HURNET_REDIS_PREFIX .role) -}}
{{- end -}}
