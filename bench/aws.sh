#!/usr/bin/env bash
# The AWS client held against its limits and against others, in the same run: signatures, calls, big objects.
# usage: bench/aws.sh [sign] [calls] [s3]     all of them when none is named
# environment: ROUNDS (5), MS (1000) of a measurement, CLIENTS ("1 16 64 256"), BYTES (1073741824),
#   PERIGEE_PEERS_PYTHON: a Python that has botocore (else build/peers/venv/bin/python, else python3)
# Node's signers and SDK come from npm into build/peers/node; what is not there is named and left out.
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

rounds=${ROUNDS:-5}
ms=${MS:-1000}
clients=${CLIENTS:-1 16 64 256}
bytes=${BYTES:-1073741824}
parts=${*:-sign calls s3}
for part in $parts; do
  case $part in sign | calls | s3) ;; *)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
  esac
done

find_python() {
  local p
  for p in "${PERIGEE_PEERS_PYTHON:-}" build/peers/venv/bin/python python3; do
    if [ -n "$p" ] && "$p" -c 'import botocore' 2>/dev/null; then
      python=$p
      say "botocore $("$p" -c 'import botocore; print(botocore.__version__)')"
      return
    fi
  done
  python=
  say "no botocore: tests/peers/install.sh installs it"
}

find_node() {
  node=
  export NODE_NO_WARNINGS=1 NODE_PATH=$PWD/build/peers/node/node_modules
  command -v node >/dev/null || { say "no node: its signers and SDK are left out" && return; }
  tests/peers/install.sh node
  if [ ! -d "$NODE_PATH/@aws-sdk/client-dynamodb" ]; then return; fi
  node=node
  say "node $(node --version), client-dynamodb $(node -p 'require("@aws-sdk/client-dynamodb/package.json").version')"
}

# ratio A B: A / B, "-" without one of them.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.2f", a / b; else printf "-" }'; }

# ==== signatures: a DynamoDB PutItem with 4 headers and 300 bytes of body ====

sign() {
  local vector round who
  vector=$("$bin/perigee_sign" --vector)
  for round in $(seq "$rounds"); do
    say "signatures, round $round of $rounds"
    "$bin/perigee_sign" --rounds 5 --ms 40 >>"$work/sign.ours"
    if [ -n "$python" ]; then "$python" bench/aws_sign.py "$ms" <<<"$vector" >>"$work/sign.botocore"; fi
    if [ -n "$node" ]; then
      for who in aws4 smithy; do node bench/aws_sign.js $who "$ms" <<<"$vector" >>"$work/sign.$who"; done
    fi
  done
  local limit ns
  limit=$(awk '$1 == "limit_header" { print $2 }' "$work/sign.ours" | median)
  printf '\n%-26s %10s %12s %14s\n' signer ns "per second" "of the limit"
  for who in limit_header header_warm header_cold verify_warm limit_link presign_warm; do
    ns=$(awk -v w=$who '$1 == w { print $2 }' "$work/sign.ours" | median)
    printf '%-26s %10.0f %12.0f %14s\n' $who "$ns" "$(ratio 1000000000 "$ns")" \
      "$(awk -v w=$who '$1 == w { sub(/x/, "", $4); print $4 }' "$work/sign.ours" | median)"
  done
  for who in botocore aws4 smithy; do
    [ -s "$work/sign.$who" ] || continue
    ns=$(median <"$work/sign.$who")
    printf '%-26s %10.0f %12.0f %14s\n' $who "$ns" "$(ratio 1000000000 "$ns")" "$(ratio "$ns" "$limit")"
  done
}

# ==== calls ====

start_stub() {
  mkfifo "$work/stub"
  "$bin/perigee_aws_stub" --seconds 3000 >"$work/stub" &
  server_pid=$!
  read -r _ port <"$work/stub"
  rm "$work/stub"
}

stop_stub() {
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=
}

one_client() { # WHO CONCURRENT
  case $1 in
  perigee | curl) "$bin/perigee_aws_calls" "$1" "$port" "$2" "$ms" ;;
  botocore) "$python" bench/aws_calls.py "$port" "$2" "$ms" ;;
  sdk_js) node bench/aws_calls.js "$port" "$2" "$ms" ;;
  esac
}

calls() {
  local round c who all="perigee curl"
  [ -z "$python" ] || all="$all botocore"
  [ -z "$node" ] || all="$all sdk_js"
  for round in $(seq "$rounds"); do
    for c in $clients; do
      say "calls, $c waiting, round $round of $rounds"
      for who in $all; do
        one_client "$who" "$c" >"$work/one"
        field per_second <"$work/one" >>"$work/rate.$who.$c"
        field cpu_us <"$work/one" >>"$work/cpu.$who.$c"
      done
    done
  done
  printf '\n%8s %-10s %12s %16s %12s\n' waiting client "calls/s" "ours are times" "CPU us/call"
  for c in $clients; do
    for who in $all; do # the median of the ratios within a round
      printf '%8s %-10s %12.0f %16s %12.1f\n' "$c" "$who" "$(median <"$work/rate.$who.$c")" \
        "$(paste "$work/rate.perigee.$c" "$work/rate.$who.$c" | awk '{ print $1 / $2 }' | median | awk '{ printf "%.2f", $1 }')" \
        "$(median <"$work/cpu.$who.$c")"
    done
  done
}

s3() {
  local round
  for round in $(seq "$rounds"); do
    say "S3, $bytes bytes, round $round of $rounds"
    "$bin/perigee_aws_calls" s3 "$port" "$bytes" "$work" >"$work/one"
    for f in put_mib_s get_mib_s rss_mib; do field $f <"$work/one" >>"$work/s3.$f"; done
    rm -f "$work/put" "$work/get"
  done
  printf '\nS3, %s bytes from and to files: put %.0f MiB/s, get %.0f MiB/s, at most %.1f MiB of memory\n' "$bytes" \
    "$(median <"$work/s3.put_mib_s")" "$(median <"$work/s3.get_mib_s")" "$(sort -n "$work/s3.rss_mib" | tail -n 1)"
}

build_targets perigee_sign perigee_aws_stub perigee_aws_calls
bin=$built/bench
mkdir -p build
work=$(mktemp -d "$PWD/build/bench.XXXXXX")
trap 'stop_stub; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
find_python
find_node
for part in $parts; do
  if [ "$part" != sign ] && [ -z "$server_pid" ]; then start_stub; fi
  $part
done
