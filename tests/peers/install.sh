#!/usr/bin/env bash
# Installs other people's servers and clients that speak AWS's protocols into build/peers, for the tests that hold ours
# against them. Each is optional: what cannot be installed is named in one line, and the tests that need it are pending.
# Usage: install.sh [minio|node|bench|deploy]    minio is built from source, which takes minutes; everything else in less than four.
# node: only the SDK for JavaScript; bench: servers from npm that benchmarks hold ours against, beside it; deploy: only what
# looks at the templates.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit
here=tests/peers
peers=build/peers

missing() { echo "peers: no $1: $2" >&2; }

# stale DIR FILE: whether DIR was not made from this FILE as it is now.
stale() { [ "$(cat "$1/.made-from" 2>/dev/null)" != "$(sha256sum <"$2")" ]; }
made() { sha256sum <"$2" >"$1/.made-from"; }

python_peers() { # NAME DIRECTORY REQUIREMENTS
  local log=$peers/$2.log
  stale "$peers/$2" "$here/$3" || return 0
  rm -rf "${peers:?}/$2"
  if ! python3 -m venv "$peers/$2" >"$log" 2>&1; then
    missing "$1" "python3 -m venv failed, see $log"
  elif ! timeout 170 "$peers/$2/bin/pip" install --disable-pip-version-check --timeout 20 --retries 2 -q -r "$here/$3" >>"$log" 2>&1; then
    missing "$1" "pip could not install them, see $log"
  else
    made "$peers/$2" "$here/$3"
    return 0
  fi
  rm -rf "${peers:?}/$2"
}

node_peers() { # NAME DIRECTORY PACKAGES
  local log=$peers/$2.log
  stale "$peers/$2" "$3" || return 0
  rm -rf "${peers:?}/$2"
  if ! command -v npm >/dev/null; then
    missing "$1" "npm is not installed"
  elif ! mkdir -p "$peers/$2" || ! cp "$3" "$peers/$2/package.json" ||
    ! timeout 170 npm install --prefix "$peers/$2" --no-audit --no-fund --loglevel=error >"$log" 2>&1; then
    missing "$1" "npm could not install it, see $log"
  else
    made "$peers/$2" "$3"
    return 0
  fi
  rm -rf "${peers:?}/$2"
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

# The CDK application compiled once, so that its caches are warm: outside of the tree, and not the user's.
cdk_peer() {
  local log=$PWD/$peers/go.log go=$PWD/$peers/go
  stale $peers/go config/cdk/go.sum || return 0
  rm -rf "$go"
  if ! command -v go >/dev/null; then
    missing "CDK for Go" "go is not installed"
  elif ! (cd config/cdk && GOMODCACHE=$go/mod GOCACHE=$go/cache GOFLAGS=-modcacherw GOTOOLCHAIN=local timeout 1200 go build -o /dev/null . >"$log" 2>&1); then
    missing "CDK for Go" "go could not build config/cdk, see $log"
  else
    made $peers/go config/cdk/go.sum
    return 0
  fi
  rm -rf "$go"
}

template_peers() {
  python_peers "moto, botocore, cfn-lint" venv requirements.txt &
  node_peers "CDK's command line" cdk $here/package_cdk.json &
  cdk_peer &
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
    template_peers
    python_peers "AWS command line" awscli requirements_cli.txt &
    node_peers "SDK for JavaScript" node $here/package.json &
    maven_peer "DynamoDB Local" dynamodb &
    maven_peer ElasticMQ elasticmq &
    wait
    ;;
  minio) minio_peer ;;
  deploy)
    template_peers
    wait
    ;;
  node) node_peers "SDK for JavaScript" node $here/package.json ;;
  bench) node_peers "dynalite, s3rver" bench bench/package.json ;;
  *)
    echo "usage: install.sh [minio|node|bench|deploy]" >&2
    exit 2
    ;;
esac
