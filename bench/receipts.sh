#!/usr/bin/env bash
# Receipts: how many a second one thread renders and how large they are; then how fast orders become receipts in the whole service.
# usage: bench/receipts.sh
# environment: ROUNDS (5), RENDERS (200 a round), ORDERS (500)
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

build
begin consumers
export RENDERS=${RENDERS:-200}
for round in $(seq "${ROUNDS:-5}"); do
  "$perigee" run bench/receipts.lua >>"$work/renders"
  say "round $round: $(tail -n 1 "$work/renders")"
done

orders=${ORDERS:-500}
start_server "$work/data"
before=$(cpu_ms)
from=$(date +%s.%N)
"$load" --port "$port" --connections 16 --requests "$orders" --deadline 120 --acks "$work/acks" >"$work/load.json"
# A receipt is there when its link is handed out (200); until then the answer is 202.
pending=$orders
for _ in $(seq 600); do
  "$load" --port "$port" --connections 4 --path '/receipt/%s' --ids-from "$work/acks" --deadline 60 >"$work/get.json" || {
    echo "bench: asking for receipts failed: $(cat "$work/get.json")" >&2
    exit 1
  }
  pending=$(field accepted <"$work/get.json")
  [ "$pending" != 0 ] || break
  sleep 0.1
done
if [ "$pending" != 0 ]; then
  echo "bench: $pending of $orders receipts were not made" >&2
  exit 1
fi
to=$(date +%s.%N)
after=$(cpu_ms)
rss=$(rss_mib)
stop_server

echo
printf 'render, one at a time:   %.0f receipts/s, %.0f bytes each (medians of %s rounds of %s)\n' \
  "$(field per_s <"$work/renders" | median)" "$(field bytes <"$work/renders" | median)" "${ROUNDS:-5}" "$RENDERS"
awk -v n="$orders" -v a="$from" -v b="$to" -v c0="$before" -v c1="$after" -v rss="$rss" 'BEGIN {
  printf "order to stored receipt: %.0f receipts/s for %d orders, %.2f ms of CPU each (order, receipt and asking for it), RSS %s MiB\n",
    n / (b - a), n, (c1 - c0) / n, rss }'
