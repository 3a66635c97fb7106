#!/usr/bin/env bash
# Durable POST /orders on the whole path, held against the bare limit: rounds of both, interleaved; medians of the rounds.
# usage: bench/orders.sh [--consumers] [--key]
#   --consumers  leave the queue feeds on: receipts are made meanwhile, by the same process
#   --key        send an Idempotency-Key, so that the answer is stored too
# environment: ROUNDS (5), SECONDS_EACH (3), CLIENTS ("1 16 64 256"), WORKERS (the server's default)
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

feeds=no-consumers
consumers=off
key=()
for arg in "$@"; do
  case $arg in
  --consumers)
    feeds=consumers
    consumers=on
    ;;
  --key) key=(--key) ;;
  *)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
  esac
done
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
clients=${CLIENTS:-1 16 64 256}

build
begin "$feeds"
start_server "$work/data" ${WORKERS:+--workers "$WORKERS"}
"$load" --port "$port" --connections 16 --requests 2000 --deadline 60 >/dev/null # warm

# Appends a line "clients round bare/s commit_p50 rate p50 p99 cpu_us_per_order" to the results.
run_bare() { # CLIENTS
  rm -rf "$work/bare"
  "$bare" --dir "$work/bare" --clients "$1" --seconds "$seconds" "${key[@]}" >"$work/bare.json"
}
run_load() { # CLIENTS
  local before after ok
  before=$(cpu_ms)
  "$load" --port "$port" --connections "$1" --seconds "$seconds" --deadline $((seconds + 30)) "${key[@]}" >"$work/load.json" || {
    echo "bench: requests failed: $(cat "$work/load.json")" >&2
    tail -n 5 "$work/log" >&2
    exit 1
  }
  after=$(cpu_ms)
  ok=$(field ok <"$work/load.json")
  awk -v a="$before" -v b="$after" -v n="$ok" 'BEGIN { printf "%.1f", (b - a) * 1000 / n }' >"$work/cpu"
}

for round in $(seq "$rounds"); do
  for c in $clients; do
    if [ $((round % 2)) = 1 ]; then
      run_bare "$c"
      run_load "$c"
    else
      run_load "$c"
      run_bare "$c"
    fi
    echo "$c $round $(field orders_per_s <"$work/bare.json") $(field p50_ms <"$work/bare.json") $(field rate <"$work/load.json")" \
      "$(field p50_ms <"$work/load.json") $(field p99_ms <"$work/load.json") $(cat "$work/cpu")" >>"$work/results"
    say "round $round of $rounds, $c clients: $(tail -n 1 "$work/results" | awk '{ printf "bare %d/s, perigee %d/s, p99 %s ms", $3, $5, $7 }')"
  done
done
rss=$(rss_mib)
stop_server
sync=$("$bare" --dir "$work/sync" --sync --seconds 2 | field syncs_per_s)

column() { awk -v c="$1" -v f="$2" '$1 == c { print $f }' "$work/results" | median; }
ratio() { awk -v c="$1" -v a="$2" -v b="$3" '$1 == c { print $a / $b }' "$work/results" | median; }
echo
echo "POST /orders, durable (${key[*]:-no key}, consumers $consumers), medians of $rounds rounds of $seconds s; $(nproc) cores; $sync fdatasync/s"
printf '%8s %12s %12s %8s %10s %10s %12s %14s %12s\n' clients bare/s perigee/s ratio p50_ms p99_ms commit_p50 p99/commit cpu_us/order
for c in $clients; do
  printf '%8s %12.0f %12.0f %8.2f %10.2f %10.2f %12.2f %14.2f %12.1f\n' "$c" "$(column "$c" 3)" "$(column "$c" 5)" "$(ratio "$c" 5 3)" \
    "$(column "$c" 6)" "$(column "$c" 7)" "$(column "$c" 4)" "$(ratio "$c" 7 4)" "$(column "$c" 8)"
done
echo "RSS at the end: $rss MiB after $(awk -v s="$seconds" '{ n += $5 * s } END { printf "%d", n }' "$work/results") orders"
