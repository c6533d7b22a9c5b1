#!/bin/sh
# Registers the namespace where it is missing. Search attributes and the retention are kept up by the submissions worker.
set -eu
: "${TEMPORAL_ADDRESS:?}" "${TEMPORAL_NAMESPACE:?}"

tries=0
until temporal operator cluster health --command-timeout 5s >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 40 ] || { echo "Temporal does not answer at $TEMPORAL_ADDRESS" >&2; exit 1; }
  sleep 1
done
if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  echo "the namespace $TEMPORAL_NAMESPACE is there"
else
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
fi
