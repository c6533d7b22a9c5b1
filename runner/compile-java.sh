# `sh compile-java.sh FILE`: compiles a program and what it uses of the work folder to /tmp/program.jar, which starts its class.
set -eu
# For short lives: no second compiler, no threads for a collector.
quick='-J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -J-Xshare:auto'
classes=/tmp/classes
mkdir "$classes"
# shellcheck disable=SC2086
javac $quick -J-Xmx512m -encoding UTF-8 -Xlint:all -proc:none -sourcepath . -d "$classes" "$1"

# Of a file in a package, the class is in a folder of that name.
name=$(basename "$1" .java)
file=$(cd "$classes" && find . -name "$name.class" | sort | head -n 1)
if [ -z "$file" ]; then
  echo "$1: there is no class $name in it, which would be started" >&2
  exit 1
fi
main=$(echo "${file#./}" | sed 's/\.class$//; s#/#.#g')
# shellcheck disable=SC2086
exec jar $quick --create --file /tmp/program.jar --main-class "$main" --no-compress -C "$classes" .
