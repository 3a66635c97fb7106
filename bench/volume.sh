#!/usr/bin/env bash
# How calls to one data directory cost as it grows: 10^4, 10^5, 10^6, 10^7 items, a tenth as many messages (a tenth of those in
# flight), a hundredth as many objects; how fast it opens; what housekeeping and large deletions do to writes meanwhile.
# usage: bench/volume.sh [LEVEL...]    the powers of ten (4 5 6 7), ascending
# environment: MS (1000) of a measurement, CLIENTS ("1 16"), OPENINGS (7), WORK, NICE (5) of filling, VALGRIND (1: count instructions),
# DATA: an existing directory that is kept; its file "volume" says how many items it has. LAST (1): the deletions at the end
# The largest needs 6 GB of disk and, on an idle machine, ten minutes.
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

levels=${*:-4 5 6 7}
ms=${MS:-1000}
clients=${CLIENTS:-1 16}
openings=${OPENINGS:-7}
more=() # arguments of the server
works=${WORK:-vget vquery vindex vupdate vput vturn vdescribe vattributes vlist}

now_us() { printf '%s' "${EPOCHREALTIME/./}"; }

# open_store [COMMAND...]: starts the server, below COMMAND; server_pid, port, and first_ms: from its start to its first answer.
open_store() {
  local line began ended
  rm -f "$work/ready"
  mkfifo "$work/ready"
  began=$(now_us)
  "$@" "$perigee" cloud --port 0 --data "$data" --log-level warn "${more[@]}" >"$work/ready" 2>>"$work/log" &
  server_pid=$!
  exec 3<"$work/ready"
  if ! read -r -t 120 line <&3 || [[ $line != *cloud=* ]]; then
    say "the server did not say that it is ready: '$line' $(tail -n 3 "$work/log")"
    exit 1
  fi
  port=${line##*:}
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' >&4
  read -r -t 60 _ <&4
  ended=$(now_us)
  exec 4>&- 3<&-
  first_ms=$(awk -v us=$((ended - began)) 'BEGIN { printf "%.1f", us / 1000 }')
}

kill_server() {
  kill -KILL "$server_pid"
  wait "$server_pid" 2>/dev/null || true
  server_pid=
}

grow() { # FROM TO
  local part what
  for what in items:1 messages:10 objects:100; do
    part=${what#*:}
    nice -n "${NICE:-5}" "$fill" "$data" "${what%:*}" $(($1 / part)) $(($2 / part)) | sed "s/^/   ${what%:*} /" >&2
  done
  nice -n "${NICE:-5}" "$fill" "$data" flight $(($1 / 100)) $(($2 / 100)) >/dev/null
}

# one WORK CLIENTS: the JSON line of one measurement.
one() { timeout 300 "$cloud_load" "$port" "$1" "$2" "${3:-$ms}" "$items" 2>>"$work/log" || { say "$1 failed: $(tail -n 1 "$work/log")" && exit 1; }; }

drop_cache() { sync && for f in "$data"/store.db*; do dd if="$f" iflag=nocache count=0 status=none; done; }

measure_opening() { # LEVEL
  local i
  : >"$work/opened"
  for ((i = 0; i < openings; i++)); do
    open_store
    echo "$first_ms" >>"$work/opened"
    stop_server
  done
  warm[$1]=$(median <"$work/opened")
  drop_cache
  open_store
  cold[$1]=$first_ms
  one vupdate 64 3000 >/dev/null
  kill_server
  wal[$1]=$(du -m "$data/store.db-wal" | cut -f 1)
  open_store
  killed[$1]=$first_ms
  cat "$data/store.db" >/dev/null # calls find it in the page cache again
}

measure_calls() { # LEVEL
  local w c
  for w in $works; do
    for c in $clients; do
      one "$w" "$c" >"$work/one"
      for f in per_second p50_ms p99_ms; do figure[$1.$w.$c.$f]=$(field $f <"$work/one"); done
    done
  done
  rss[$1]=$(rss_mib)
  stop_server
}

# Instructions of the engine for one call, whatever else the machine does.
count_instructions() { # LEVEL
  local w function answers
  for w in vget:ddb_get_item vquery:ddb_query vindex:ddb_query vupdate:ddb_update_item vput:ddb_put_item vturn:sqs_receive; do
    function=${w#*:}
    rm -f "$work"/callgrind.*
    open_store valgrind -q --tool=callgrind --callgrind-out-file="$work/callgrind.%p" "--toggle-collect=$function*"
    answers=$(one "${w%:*}" 1 2000 | field answers) || answers=
    stop_server
    [ -n "$answers" ] || continue
    [ "$function" = sqs_receive ] && answers=$((answers / 3))
    instructions[$1.${w%:*}]=$(awk -v n="$answers" '/^summary:|^totals:/ { t = $2 } END { printf "%d", t / n }' "$work"/callgrind.*)
  done
}

# aws ACTION BODY: an unsigned call of DynamoDB; sqs likewise.
aws() { curl -sS --max-time 120 -o "$work/answer" -w '%{time_total}' -H 'Content-Type: application/x-amz-json-1.0' -H "X-Amz-Target: $1" -d "$2" "http://127.0.0.1:$port/"; }

disturb() { # NAME ACTION BODY: puts at 16 clients while what the action left behind is done
  local took
  took=$(aws "$2" "$3")
  grep -q '"__type"' "$work/answer" && say "$2: $(cat "$work/answer")" && exit 1
  one put 16 $((ms * 4)) >"$work/one"
  printf '%-34s %12.1f %12.0f %10.1f %10.1f\n' "$1" "$(awk -v s="$took" 'BEGIN { print s * 1000 }')" "$(field per_second <"$work/one")" \
    "$(field p50_ms <"$work/one")" "$(field p99_ms <"$work/one")"
}

measure_disturbances() {
  local target=DynamoDB_20120810. queue=http://127.0.0.1/000000000000/waiting
  more=(--no-verify)
  open_store
  printf '\n%-34s %12s %12s %10s %10s\n' "puts at 16 clients, while" "call ms" "puts/s" "p50 ms" "p99 ms"
  disturb "nothing but counting goes on" ${target}ListTables '{}'
  disturb "a time to live is switched on" ${target}UpdateTimeToLive '{"TableName":"orders","TimeToLiveSpecification":{"AttributeName":"expires","Enabled":true}}'
  disturb "the queue is purged" AmazonSQS.PurgeQueue "{\"QueueUrl\":\"$queue\"}"
  disturb "the table is deleted" ${target}DeleteTable '{"TableName":"orders"}'
  stop_server
}

report() {
  local l w c first=${levels%% *}
  printf '\n%-10s' items
  printf '%14s %14s %14s %10s %10s %10s\n' "opened ms" "cold ms" "after kill ms" "WAL MiB" "RSS MiB" "data MiB"
  for l in $levels; do
    printf '10^%-7s%14s %14s %14s %10s %10s %10s\n' "$l" "${warm[$l]}" "${cold[$l]}" "${killed[$l]}" "${wal[$l]}" "${rss[$l]}" "${size[$l]}"
  done
  printf '\n%-12s %8s %8s %12s %10s %10s %14s %14s\n' work clients items "per second" "p50 ms" "p99 ms" instructions "of 10^$first's"
  for w in $works; do
    for c in $clients; do
      for l in $levels; do
        printf '%-12s %8s %8s %12.0f %10s %10s %14s %14s\n' "$w" "$c" "10^$l" "${figure[$l.$w.$c.per_second]}" "${figure[$l.$w.$c.p50_ms]}" \
          "${figure[$l.$w.$c.p99_ms]}" "${instructions[$l.$w]:--}" \
          "$(awk -v a="${instructions[$l.$w]:-0}" -v b="${instructions[$first.$w]:-0}" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }')"
      done
    done
  done
  printf '\nload of the machine: %s, %s processors\n' "$(cut -d ' ' -f 1-3 /proc/loadavg)" "$(nproc)"
}

declare -A warm cold killed wal rss size figure instructions
build_targets perigee perigee_cloud_load perigee_volume_fill
perigee=$built/perigee cloud_load=$built/bench/perigee_cloud_load fill=$built/bench/perigee_volume_fill
begin_work
: >"$work/log"
data=${DATA:-$work/data}
made=$(cat "$data/volume" 2>/dev/null || echo 0)
for level in $levels; do
  items=$((10 ** level))
  say "10^$level items"
  while [ "$made" -lt "$items" ]; do
    to=$((made ? made * 10 : 10000))
    grow "$made" "$to"
    made=$to
    echo "$made" >"$data/volume"
  done
  size[$level]=$(du -m "$data/store.db" | cut -f 1)
  measure_opening "$level"
  measure_calls "$level"
  [ "${VALGRIND:-1}" = 0 ] || count_instructions "$level"
done
report
[ "${LAST:-1}" = 0 ] || measure_disturbances
