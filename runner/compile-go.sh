# `sh compile-go.sh FILE`: compiles a program of one file to /tmp/program.
# `sh compile-go.sh --version`: prints Go's version; fails where each program would have to compile the standard library.
# `sh compile-go.sh --prepare`: compiles the standard library, for all programs to come; once, as root and outside the sandbox.
set -eu
# Where Go's own and Debian's packages put it.
PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
# As it is on this machine, without a network and without a module of the student's.
export GO111MODULE=off GOTOOLCHAIN=local GOPROXY=off GOFLAGS= CGO_ENABLED=0 GOPATH=/tmp/go GOCACHE=/tmp/go-cache
# Since Go 1.20 it comes as source alone. Below /usr, which bubblewrap shows to its sandboxes.
library=/usr/local/share/atelier-go-cache

case $1 in
  --prepare)
    GOCACHE=$library go build std
    exec chmod -R a+rX "$library" ;;
  --version)
    [ -d "$library" ] || [ -e "$(go env GOROOT)/pkg/$(go env GOOS)_$(go env GOARCH)/fmt.a" ] || {
      echo 'its standard library is not compiled: sh runner/compile-go.sh --prepare' >&2
      exit 1
    }
    exec go version ;;
esac
# Links, as the cache wants to write beside what it has.
if [ -d "$library" ]; then cp -rs "$library" "$GOCACHE"; fi
exec go build -ldflags '-s -w' -o /tmp/program "$1"
