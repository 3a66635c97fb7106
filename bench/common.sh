# shellcheck shell=bash disable=SC2034
# Shared by the benchmarks (sourced). Everything listens on loopback, lives below build/bench.XXXXXX on the same disk as the
# project, and ends with the script.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
server_pid=

say() { printf '== %s\n' "$*" >&2; }

# build_targets TARGET...: in $built, which is PERIGEE_BENCH_BUILD or build/release.
build_targets() {
  built=${PERIGEE_BENCH_BUILD:-build/release}
  say "building $built"
  [ -f "$built/build.ninja" ] || cmake --preset release >&2
  cmake --build "$built" --target "$@" >&2
}

build() {
  build_targets perigee perigee_load perigee_bare
  perigee=$root/$built/perigee load=$root/$built/bench/perigee_load bare=$root/$built/bench/perigee_bare
}

stop_server() {
  [ -n "$server_pid" ] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  for _ in $(seq 150); do
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$server_pid" 2>/dev/null; then
    echo "bench: the server did not stop within 15 s" >&2
    kill -KILL "$server_pid"
  fi
  local status=0
  wait "$server_pid" || status=$?
  server_pid=
  if [ "$status" != 0 ]; then
    echo "bench: the server ended with status $status" >&2
    tail -n 5 "$work/log" >&2
    return 1
  fi
}

cleanup() {
  stop_server || true
  [ -z "${work:-}" ] || rm -rf "$work"
}

# An empty directory, $work, that goes with the script.
begin_work() {
  mkdir -p build
  work=$(mktemp -d "$root/build/bench.XXXXXX")
  trap cleanup EXIT
  trap 'exit 130' INT TERM
}

# A copy of the application in $work/app; `begin no-consumers` switches its queue feeds and schedules off.
begin() {
  begin_work
  mkdir -p "$work/app"
  cp -r config handlers "$work/app/"
  if [ "${1:-}" = no-consumers ]; then
    awk '{ print } /^ *Type: (SQS|Schedule)$/ { off = 1 }
      off && /^ *Properties:$/ { match($0, /^ */); printf "%*sEnabled: false\n", RLENGTH + 2, ""; off = 0 }' \
      config/template.yaml >"$work/app/config/template.yaml"
    grep -q 'Enabled: false' "$work/app/config/template.yaml"
  fi
}

# start_server DATA [ARGUMENT...]: sets server_pid and port from the ready line.
start_server() {
  local data=$1 line=
  shift
  mkfifo "$work/ready"
  "$perigee" serve --template "$work/app/config/template.yaml" --host 127.0.0.1 --port 0 --cloud-port 0 --data "$data" --no-reload \
    "$@" >"$work/ready" 2>>"$work/log" &
  server_pid=$!
  exec 3<"$work/ready"
  rm "$work/ready"
  if ! read -r -t 60 line <&3 || [ "${line#perigee: ready http=}" = "$line" ]; then
    echo "bench: the server did not say that it is ready: '$line'" >&2
    tail -n 20 "$work/log" >&2
    exit 1
  fi
  port=$(printf '%s\n' "$line" | sed -n 's#.* http=http://[^ ]*:\([0-9]*\) .*#\1#p')
  say "$line"
}

# field NAME: that number of the JSON line on stdin.
field() { sed -n "s/.*\"$1\":\\([-0-9.]*\\).*/\\1/p"; }

# CPU time of the server so far in ms, resident memory in MiB.
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000 / hz }' "/proc/$server_pid/stat"; }
rss_mib() { awk '/^VmRSS:/ { printf "%.1f", $2 / 1024 }' "/proc/$server_pid/status"; }

# median of the numbers on stdin.
median() { sort -n | awk '{ v[NR] = $1 } END { if (NR == 0) print 0; else if (NR % 2) print v[(NR + 1) / 2]; else print (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
