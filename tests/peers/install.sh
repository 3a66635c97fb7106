#!/usr/bin/env bash
# Installs other people's servers and clients that speak AWS's protocols into build/peers, for the tests that hold ours
# against them. Each is optional: what cannot be installed is named in one line, and the tests that need it are pending.
# Usage: install.sh [minio]    minio is built from source, which takes minutes; everything else in less than three.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit
here=tests/peers
peers=build/peers

missing() { echo "peers: no $1: $2" >&2; }

# stale DIR FILE: whether DIR was not made from this FILE as it is now.
stale() { [ "$(cat "$1/.made-from" 2>/dev/null)" != "$(sha256sum <"$2")" ]; }
made() { sha256sum <"$2" >"$1/.made-from"; }

python_peers() {
  local log=$peers/venv.log
  stale $peers/venv $here/requirements.txt || return 0
  rm -rf $peers/venv
  if ! python3 -m venv $peers/venv >$log 2>&1; then
    missing "moto, botocore" "python3 -m venv failed, see $log"
  elif ! timeout 170 $peers/venv/bin/pip install --disable-pip-version-check --timeout 20 --retries 2 -q -r $here/requirements.txt >>$log 2>&1; then
    missing "moto, botocore" "pip could not install them, see $log"
  else
    made $peers/venv $here/requirements.txt
    return 0
  fi
  rm -rf $peers/venv
}

java_major() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }

maven_peer() { # NAME DIRECTORY
  local log=$peers/$2.log
  stale "$peers/$2" $here/pom.xml || return 0
  rm -rf "${peers:?}/$2"
  if ! command -v java >/dev/null; then
    missing "$1" "java is not installed"
  elif [ "$(java_major)" -lt 17 ]; then
    missing "$1" "it needs Java 17, this is $(java_major)"
  elif ! command -v mvn >/dev/null; then
    missing "$1" "mvn (Maven) is not installed"
  elif ! timeout 170 mvn -q -B -f $here/pom.xml -P "$2" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$PWD/$peers/$2" >"$log" 2>&1; then
    missing "$1" "Maven could not fetch it, see $log"
  else
    made "$peers/$2" $here/pom.xml
    return 0
  fi
  rm -rf "${peers:?}/$2"
}

minio_peer() {
  local log=$peers/minio.log
  if [ -x $peers/bin/minio ]; then return 0; fi
  if ! command -v go >/dev/null; then
    missing MinIO "go is not installed"
  elif ! GOBIN=$PWD/$peers/bin GOFLAGS=-modcacherw timeout 1800 go install github.com/minio/minio@latest >$log 2>&1; then
    missing MinIO "go could not build it, see $log"
  fi
}

mkdir -p $peers/bin
case "${1:-}" in
  "")
    python_peers &
    maven_peer "DynamoDB Local" dynamodb &
    maven_peer ElasticMQ elasticmq &
    wait
    ;;
  minio) minio_peer ;;
  *)
    echo "usage: install.sh [minio]" >&2
    exit 2
    ;;
esac
