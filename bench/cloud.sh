#!/usr/bin/env bash
# The engine on the wire against other servers that speak AWS's protocols: the same calls by the same driver in the same run.
# usage: bench/cloud.sh [SERVER...]    perigee (always), dynalite, s3rver, moto, dynamodb (DynamoDB Local), elasticmq, minio
# environment: ROUNDS (3), MS (1000) of a measurement, CLIENTS ("1 16 64"), WORK ("put update get query send round s3put s3get")
# What is not installed is named and left out: tests/peers/install.sh installs moto, DynamoDB Local and ElasticMQ, its argument
# `bench` dynalite and s3rver, `minio` MinIO.
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

rounds=${ROUNDS:-3}
ms=${MS:-1000}
clients=${CLIENTS:-1 16 64}
work_list=${WORK:-put update get query send round s3put s3get}
peers=build/peers
wanted=${*:-dynalite s3rver moto dynamodb elasticmq minio}
declare -A pid port

# What a server is asked for; each keeps its data below $work: on the disk when it can.
works_of() {
  case $1 in
  perigee | moto) echo put update get query send round s3put s3get ;;
  dynalite | dynamodb) echo put update get query ;;
  elasticmq) echo send round ;;
  s3rver | minio) echo s3put s3get ;;
  *) say "no server '$1'" && exit 2 ;;
  esac
}
has_work() { [[ " $(works_of "$1") " == *" $2 "* ]]; }

mode_of() {
  case $1 in
  perigee) echo "disk, synced, signatures verified" ;;
  minio) echo "disk, synced by file system, signatures verified" ;;
  dynalite) echo "disk, not synced, signatures not verified" ;;
  dynamodb) echo "SQLite on disk, signatures not verified" ;;
  s3rver) echo "disk, not synced" ;;
  *) echo "memory, signatures not verified" ;;
  esac
}

installed() {
  case $1 in
  dynalite | s3rver) [ -d $peers/bench/node_modules/"$1" ] && command -v node >/dev/null ;;
  moto) [ -x $peers/venv/bin/moto_server ] ;;
  dynamodb | elasticmq) [ -f "$peers/$1/.made-from" ] && command -v java >/dev/null ;;
  minio) [ -x $peers/bin/minio ] ;;
  esac
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

run_server() { # NAME PORT DIRECTORY: becomes the server
  case $1 in
  perigee) exec "$perigee" cloud --port "$2" --data "$3/data" --log-level warn ;;
  dynalite) exec node $peers/bench/node_modules/dynalite/cli.js --host 127.0.0.1 --port "$2" --path "$3/data" --createTableMs 0 ;;
  s3rver) NODE_PATH=$peers/bench/node_modules exec node bench/cloud_s3rver.js "$2" "$3" ;;
  moto) exec $peers/venv/bin/moto_server -H 127.0.0.1 -p "$2" ;;
  dynamodb) exec java -Xmx1g -Djava.library.path=$peers/dynamodb -cp "$peers/dynamodb/*" \
    com.amazonaws.services.dynamodbv2.local.main.ServerRunner -dbPath "$3" -sharedDb -disableTelemetry -port "$2" ;;
  elasticmq)
    cat >"$3/conf" <<CONF
node-address { protocol = http, host = "127.0.0.1", port = $2, context-path = "" }
rest-sqs { enabled = true, bind-hostname = "127.0.0.1", bind-port = $2, sqs-limits = strict }
rest-stats { enabled = false }
CONF
    exec java -Xmx1g -Dconfig.file="$3/conf" -cp "$peers/elasticmq/*" org.elasticmq.server.Main
    ;;
  minio) MINIO_ROOT_USER=perigee MINIO_ROOT_PASSWORD=perigee-secret MINIO_BROWSER=off MINIO_UPDATE=off \
    exec $peers/bin/minio server --quiet --address "127.0.0.1:$2" "$3/data" ;;
  esac
}

keys_of() { case $1 in s3rver) echo S3RVER S3RVER ;; minio) echo perigee perigee-secret ;; *) echo perigee perigee ;; esac }

# Starts a server on the data it has; milliseconds from before its exec to its first answer go to $work/WHICH.NAME.
begin_server() { # SERVER WHICH
  local name=$1 dir=$work/$1 now
  mkdir -p "$dir"
  port[$name]=$(free_port)
  (echo "${EPOCHREALTIME/[.,]/}" >"$dir/began" && run_server "$name" "${port[$name]}" "$dir") >"$dir/log" 2>&1 &
  pid[$name]=$!
  if now=$("$first_answer" "${port[$name]}" "${pid[$name]}"); then
    awk -v began="$(cat "$dir/began")" -v now="$now" 'BEGIN { printf "%.1f\n", (now - began) / 1000 }' >>"$work/$2.$name"
    return
  fi
  say "$name does not answer: $(tail -n 3 "$dir/log")"
  end_server "$name"
  return 1
}

end_server() {
  [ -n "${pid[$1]:-}" ] || return 0
  kill "${pid[$1]}" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "${pid[$1]}" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
  unset "pid[$1]"
}

end_all() { for s in "${!pid[@]}"; do end_server "$s"; done; }

measure() { # SERVER WORK CLIENTS
  local fill=0 id secret
  read -r id secret <<<"$(keys_of "$1")"
  if [ "$2" = round ]; then fill=$([ "$1" = moto ] && echo 500 || echo $((ms * 20))); fi
  if timeout 120 "$load" "${port[$1]}" "$2" "$3" "$ms" "$fill" "$id" "$secret" >"$work/one" 2>"$work/error"; then
    field per_second <"$work/one" >>"$work/rate.$1.$2.$3"
    field p99_ms <"$work/one" >>"$work/p99.$1.$2.$3"
  else
    say "$1 $2 $3: failed: $(head -c 200 "$work/error" "$work/one")"
  fi
}

report() {
  local w c s ours
  printf '\n%-8s %8s %-10s %12s %10s %16s\n' work clients server "per second" "p99 ms" "ours are times"
  for w in $work_list; do
    for c in $clients; do
      for s in "${servers[@]}"; do
        [ -s "$work/rate.$s.$w.$c" ] || continue
        ours=$(median <"$work/rate.perigee.$w.$c")
        printf '%-8s %8s %-10s %12.0f %10.2f %16s\n' "$w" "$c" "$s" "$(median <"$work/rate.$s.$w.$c")" "$(median <"$work/p99.$s.$w.$c")" \
          "$(awk -v a="$ours" -v b="$(median <"$work/rate.$s.$w.$c")" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }')"
      done
    done
  done
  printf '\n%-10s %16s %10s %10s %10s %10s  %s\n' server "first answer ms" "with data" "RSS MiB" "at start" "at most" mode
  for s in "${servers[@]}"; do
    printf '%-10s' "$s"
    for w in new:16 again:10 after:10 before:10 most:10; do printf " %${w#*:}s" "$(figure "${w%:*}.$s")"; done
    printf '  %s\n' "$(mode_of "$s")"
  done
  printf '\nload of the machine during the run: %s, %s processors\n' "$(cut -d ' ' -f 1-3 /proc/loadavg)" "$(nproc)"
}

figure() { if [ -s "$work/$1" ]; then median <"$work/$1"; else echo -; fi; }

rss_of() { awk -v field="^$2:" '$0 ~ field { printf "%.1f\n", $2 / 1024 }' "/proc/${pid[$1]}/status"; } # SERVER VmRSS|VmHWM

build_targets perigee perigee_cloud_load perigee_first_answer
perigee=$built/perigee load=$built/bench/perigee_cloud_load first_answer=$built/bench/perigee_first_answer
mkdir -p build
work=$(mktemp -d "$root/build/bench.XXXXXX")
trap 'end_all; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
case " $wanted " in *dynalite* | *s3rver*) tests/peers/install.sh bench ;; esac
servers=()
for s in perigee $wanted; do
  [[ " ${servers[*]} " != *" $s "* ]] || continue
  [ "$s" = perigee ] || installed "$s" || { say "$s is not installed: left out" && continue; }
  works_of "$s" >/dev/null
  servers+=("$s")
done
# A server at a time, so that none costs another memory or a processor; rounds alternate between them.
for round in $(seq "$rounds"); do
  for s in "${servers[@]}"; do
    say "round $round of $rounds: $s"
    rm -rf "${work:?}/$s"
    begin_server "$s" new || continue
    rss_of "$s" VmRSS >>"$work/before.$s"
    for w in $work_list; do
      has_work "$s" "$w" || continue
      for c in $clients; do measure "$s" "$w" "$c"; done
    done
    sleep 2
    rss_of "$s" VmRSS >>"$work/after.$s"
    rss_of "$s" VmHWM >>"$work/most.$s"
    end_server "$s"
    begin_server "$s" again || continue
    end_server "$s"
  done
done
report
