#!/bin/sh
# Makes what docker-compose.yml needs on this host: random secrets in secrets/, and .env with the group of the Docker socket.
# Nothing that is there is changed, so it is safe to repeat.
set -eu
cd "$(dirname "$0")/.."
umask 077

# Only this folder's owner comes in; the files are readable for the containers' users, each of which gets its own files alone.
mkdir -p secrets
chmod 700 secrets

random() { head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n'; }

keep() {
  if [ -e "secrets/$1" ]; then
    echo "secrets/$1 is there already"
    return
  fi
  printf '%s' "$2" > "secrets/$1.new"
  chmod 444 "secrets/$1.new"
  mv "secrets/$1.new" "secrets/$1"
  echo "secrets/$1 made"
}

keep postgres_password "$(random)"
keep temporal_password "$(random)"
keep database_url "postgres://atelier:$(random)@postgres:5432/atelier"
keep jwt_secret "$(random)"
# Mail: write smtp://user:password@host:port into this file; while it is empty mails go into a volume.
keep smtp_url ''

socket=${DOCKER_SOCKET:-/var/run/docker.sock}
if ! grep -q '^DOCKER_GID=' .env 2>/dev/null; then
  [ -S "$socket" ] || { echo "no Docker socket at $socket: start the engine, or set DOCKER_SOCKET, and repeat" >&2; exit 1; }
  echo "DOCKER_GID=$(stat -c %g "$socket")" >> .env
  echo ".env: the judging worker gets the group of $socket"
fi
