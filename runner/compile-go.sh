# `sh compile-go.sh FILE`: compiles a program of one file to /tmp/program; `sh compile-go.sh --version`: prints Go's version.
set -eu
# Where Go's own and Debian's packages put it.
PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
# As it is on this machine, without a network and without a module of the student's.
export GO111MODULE=off GOTOOLCHAIN=local GOPROXY=off GOFLAGS= CGO_ENABLED=0 GOPATH=/tmp/go GOCACHE=/tmp/go-cache
[ "$1" != --version ] || exec go version

# The image's compiled standard library: links, as the cache wants to write beside it.
warm=/opt/go-cache
if [ -d "$warm" ]; then cp -rs "$warm" "$GOCACHE"; fi
exec go build -ldflags "-s -w" -o /tmp/program "$1"
