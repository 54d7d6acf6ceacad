#!/bin/sh
# Print the alerts as the Prometheus operator takes them.
set -eu
cat <<'END'
# deploy/prometheus/rules/candor.yml as an object of the Prometheus operator: as_object.sh there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: candor
  labels:
    app.kubernetes.io/name: candor
spec:
END
grep -v '^#' "$(dirname "$0")/rules/candor.yml" | sed '/./s/^/  /'
