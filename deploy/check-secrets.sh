#!/bin/sh
# Refuses secrets that are short, samples or the same: nothing starts before this has passed. Values are never printed.
set -eu
refused=0
refuse() {
  echo "secrets/$1: $2" >&2
  refused=1
}

check() {
  case $(printf '%s' "$2" | tr 'A-Z' 'a-z' | tr -d '_ -') in
    *changeme* | *example* | *sample* | *placeholder* | *password* | *secret*) refuse "$1" 'a sample is not accepted'; return ;;
  esac
  [ "${#2}" -ge 32 ] || { refuse "$1" "has ${#2} characters, 32 are needed"; return; }
  [ "$(printf '%s' "$2" | fold -w 1 | sort -u | wc -l)" -ge 8 ] || refuse "$1" 'is not random'
}

value() { tr -d '\r\n' < "/run/secrets/$1"; }

postgres=$(value postgres_password)
temporal=$(value temporal_password)
jwt=$(value jwt_secret)
url=$(value database_url)
# The one place of this password; deploy/postgres/databases.sh gives it to the role.
atelier=$(printf '%s' "$url" | sed -n 's#^postgres://atelier:\([A-Za-z0-9._~-]*\)@postgres:5432/atelier$#\1#p')

check postgres_password "$postgres"
check temporal_password "$temporal"
check jwt_secret "$jwt"
if [ -z "$atelier" ]; then
  refuse database_url 'is not postgres://atelier:PASSWORD@postgres:5432/atelier with a password of letters, digits and . _ ~ -'
else
  check database_url "$atelier"
fi
[ "$(printf '%s\n' "$postgres" "$temporal" "$jwt" "$atelier" | sort -u | wc -l)" -eq 4 ] || refuse '*' 'two secrets are the same'

if [ "$refused" -ne 0 ]; then
  echo 'Nothing was started. deploy/prepare.sh makes new secrets for files that are not there.' >&2
  exit 1
fi
echo 'the secrets are usable'
