# Sourced by every program: gives it a directory of its own and the means to check what came out.
# WORK: where that directory is made. /var/tmp lies in the container's root, /tmp is its tmpfs.
set -euo pipefail
export LC_ALL=C.UTF-8
work=$(mktemp -d "${WORK:-/var/tmp}/program.XXXXXX")
chmod 755 "$work"
export HOME=$work TMPDIR=$work
cd "$work"
trap 'status=$?; cd /; rm -rf "$work"; exit $status' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

is() { # what got wanted
  [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

at_least() { # what got wanted
  [ "${2:-0}" -ge "$3" ] || fail "$1 is '$2', less than $3"
}

# For services that tell nobody when they are ready or gone.
eventually() { # command...
  local tries
  for tries in $(seq 200); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.05
  done
  fail "never came true: $*"
}
