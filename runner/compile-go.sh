# `sh compile-go.sh FILE`: compiles a program of one file to /tmp/program, and writes what `go vet` finds in it to stderr, as warnings.
# `sh compile-go.sh --version`: prints Go's version; fails where each program would have to compile the standard library.
# `sh compile-go.sh --prepare`: compiles the standard library and lets vet look at it, for all programs to come; once, as root and outside
# the sandbox.
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
    # For each program vet wants to know what it found in all that is imported: by the way of a program that imports everything.
    everything=$(mktemp -d)
    {
      echo 'package main'
      go list std | grep -vE '(^|/)(internal|vendor)(/|$)' | sed 's/.*/import _ "&"/'
      echo 'func main() {}'
    } >"$everything/main.go"
    (cd "$everything" && GOCACHE=$library go vet main.go)
    rm -r "$everything"
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
go build -ldflags '-s -w' -o /tmp/program "$1"

# Advice, which neither fails a program that compiles nor uses up the sandbox's limits, which are the compiler's: nothing where that took 10 s
# of CPU time or more; ended after 10 s on one core, or with half a gigabyte. Of what it says only the findings are shown.
times >/tmp/times
case $(tail -n 1 /tmp/times) in 0m?.*' '0m?.*) ;; *) exit 0 ;; esac
finding='^(\./)?[^ :]+\.go:[0-9]+:[0-9]+: '
{ ulimit -d 524288 && GOMAXPROCS=1 timeout -k 1 10 go vet "$1" 2>&1; } | grep -E "$finding" | sort -t : -k 2n |
  head -c 20000 >&2 || true
