#!/usr/bin/env bash
# Lambda runtimes side by side, driven over the Runtime API: ours, the limit (raw C that parses nothing), Go's official
# runtime, Node and Python with the least that runs a handler. All answer the same 2.7 kB API Gateway event.
# orders is ours again, with the order system's modules instead of one line; its list refuses whoever has no token.
# usage: bench/lambda.sh [RUNTIME...]     raw perigee orders go node python; all of them when none is named
# environment: ROUNDS (15) starts of each, EVENTS (1000) of each start, WARMUP (100), CPU (1): both sides run on this one,
#   as a function has at most one processor below 1.8 GB; empty: wherever the system puts them
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

rounds=${ROUNDS:-15}
events=${EVENTS:-1000}
warmup=${WARMUP:-100}
cpu=${CPU-1}
runtimes=${*:-raw perigee orders go node python}
for runtime in $runtimes; do
  case $runtime in raw | perigee | orders | go | node | python) ;; *)
    sed -n '2,7s/^# //p' "$0" >&2
    exit 2
    ;;
  esac
done

build_targets bootstrap perigee_lambda_drive perigee_lambda_raw
begin_work
mkdir -p "$work/task/handlers"
cp bench/lambda_echo.lua "$work/task/handlers/echo.lua"
cp -r handlers/. "$work/task/handlers/"
cp -r config "$work/task/"
strip -o "$work/task/bootstrap" "$built/bootstrap"
pin=()
if [ -n "$cpu" ] && command -v taskset >/dev/null; then pin=(taskset -c "$cpu"); fi

# program RUNTIME: fills the array `program`, or returns 1 and says what is missing.
program() {
  case $1 in
    raw) program=("$root/$built/bench/perigee_lambda_raw") ;;
    perigee | orders) program=("$work/task/bootstrap") ;;
    go)
      if [ ! -x "$work/go" ]; then
        command -v go >/dev/null || { say "no go: its runtime is left out" && return 1; }
        say "building the function in Go"
        (cd bench/lambda_go && CGO_ENABLED=0 go build -tags lambda.norpc -ldflags '-s -w' -o "$work/go" .) ||
          { say "Go's runtime could not be built: it is left out" && return 1; }
      fi
      program=("$work/go")
      ;;
    node)
      command -v node >/dev/null || { say "no node: it is left out" && return 1; }
      program=("$(readlink -f "$(command -v node)")" "$root/bench/lambda_node.mjs")
      ;;
    python) program=("$(readlink -f /usr/bin/python3)" "$root/bench/lambda_python.py") ;;
  esac
}

# drive RUNTIME EVENTS WARMUP PROGRAM [ARGUMENT...]
drive() {
  local handler=echo.echo n=$2 first=$3
  if [ "$1" = orders ]; then handler=orders.list; fi
  shift 3
  "${pin[@]}" "$root/$built/bench/perigee_lambda_drive" "$n" "$first" bench/lambda_event.json $handler "$work/task" "$@"
}

# Regular files that a start opens, as a list; the loader and libc stay in every machine's cache.
touched() { # RUNTIME PROGRAM [ARGUMENT...]
  local runtime=$1 pin=(strace -f -qq -e "trace=openat,execve" -o "$work/trace")
  shift
  command -v strace >/dev/null || return 0
  drive "$runtime" 1 1 "$@" >/dev/null || true
  awk -F'"' '/execve\(|openat\(/ && !/= -1/ { print $2 }' "$work/trace" | sort -u |
    grep -v -e '^/proc/' -e '^/sys/' -e '^/dev/' -e lambda_event.json -e perigee_lambda_drive -e '/ld.so.cache$' \
      -e '/libc\.so\.6$' -e '/ld-linux' | while read -r file; do if [ -f "$file" ]; then echo "$file"; fi; done
}

evict() { # FILE...: out of the page cache
  local file
  for file in "$@"; do dd if="$file" iflag=nocache count=0 status=none 2>/dev/null || true; done
}

there=()
for runtime in $runtimes; do
  program "$runtime" || continue
  there+=("$runtime")
  touched "$runtime" "${program[@]}" >"$work/$runtime.files"
done
for round in $(seq "$rounds"); do
  say "round $round of $rounds"
  for runtime in "${there[@]}"; do
    program "$runtime"
    drive "$runtime" "$events" "$warmup" "${program[@]}" >>"$work/$runtime.warm"
    mapfile -t files <"$work/$runtime.files"
    evict "${files[@]}"
    drive "$runtime" 1 1 "${program[@]}" >>"$work/$runtime.cold"
  done
done

figure() { field "$1" <"$work/$2" | median; }
printf '\n%-9s %8s %8s %8s %9s %8s %8s %8s %9s %9s %7s %6s %9s\n' runtime init_ms cold_ms first_us p50_us p99_us cpu_us \
  init_cpu rss_init rss_peak faults files bytes
for runtime in "${there[@]}"; do
  program "$runtime"
  printf '%-9s %8.2f %8.2f %8.0f %9.0f %8.0f %8.0f %8.2f %9.0f %9.0f %7.0f %6d %9d\n' "$runtime" \
    "$(figure init_us "$runtime.warm" | awk '{ print $1 / 1000 }')" "$(figure init_us "$runtime.cold" | awk '{ print $1 / 1000 }')" \
    "$(figure first_us "$runtime.warm")" "$(figure p50_us "$runtime.warm")" "$(figure p99_us "$runtime.warm")" \
    "$(figure cpu_us "$runtime.warm")" "$(figure init_cpu_us "$runtime.warm" | awk '{ print $1 / 1000 }')" \
    "$(figure init_hwm_kb "$runtime.warm")" "$(figure hwm_kb "$runtime.warm")" "$(figure init_faults "$runtime.warm")" \
    "$(wc -l <"$work/$runtime.files")" "$(stat -c %s "${program[0]}")"
done
if [ -s "$work/perigee.warm" ]; then
  printf '\nperigee against each: medians of the ratios within a round\n%-9s %8s %8s %8s %8s %8s\n' '' init cold cpu p50 rss
  ratios() { paste -d' ' <(field "$1" <"$work/perigee.$3") <(field "$1" <"$work/$2.$3") | awk '{ print $1 / $2 }' | median; }
  for runtime in "${there[@]}"; do
    [ "$runtime" != perigee ] || continue
    printf '%-9s %8.2f %8.2f %8.2f %8.2f %8.2f\n' "$runtime" "$(ratios init_us "$runtime" warm)" \
      "$(ratios init_us "$runtime" cold)" "$(ratios cpu_us "$runtime" warm)" "$(ratios p50_us "$runtime" warm)" \
      "$(ratios init_hwm_kb "$runtime" warm)"
  done
fi
