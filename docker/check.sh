#!/usr/bin/env bash
# docker/check.sh [WORK]: goes through the Dockerfile without Docker: each stage is a directory below WORK
# (build/image), made by debootstrap in place of debian:12-slim, and each RUN a command in it. Then the images are tried:
# the server takes an order as its own user, the Lambda image answers an event. Needs root and the network.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
work=$(mkdir -p "${1:-build/image}" && cd "${1:-build/image}" && pwd)

say() { printf '== %s\n' "$*" >&2; }
fail() {
  echo "docker/check.sh: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root"
for tool in debootstrap unshare setpriv ip curl; do
  [ -n "$(command -v "$tool")" ] || fail "needs $tool"
done
# Mounts of its own: they are gone when it ends.
if [ -z "${PERIGEE_IMAGE_CHECK:-}" ]; then
  PERIGEE_IMAGE_CHECK=1 exec unshare --mount --propagation private "$0" "$work"
fi

# -- the Dockerfile ---------------------------------------------------------------------------------------------------

declare -A arguments env_of user_of workdir_of entrypoint_of command_of health_of
stage=

# inside STAGE COMMAND...: as root, in the stage's files.
inside() {
  local root=$work/$1
  shift
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
  mountpoint -q "$root/dev" || mount --bind /dev "$root/dev"
  chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

base() {
  [ -e "$work/base/.complete" ] && return
  say "debootstrap of ${arguments[BASE]}"
  rm -rf "$work/base"
  debootstrap --variant=minbase bookworm "$work/base" http://deb.debian.org/debian >&2
  touch "$work/base/.complete"
}

begin_stage() { # IMAGE as NAME
  stage=$3
  say "stage $stage"
  rm -rf "${work:?}/$stage"
  case $1 in
    scratch) mkdir "$work/$stage" ;;
    "\${BASE}" | "\${LAMBDA_BASE}")
      base
      cp -a "$work/base" "$work/$stage"
      cp /etc/resolv.conf "$work/$stage/etc/resolv.conf"
      ;;
    *) fail "FROM $1: unknown" ;;
  esac
  workdir_of[$stage]=/
  user_of[$stage]=0:0
}

# Of the sources what .dockerignore leaves: git knows the rest.
copy_sources() {
  git ls-files -z --cached --others --exclude-standard | grep -zvE '^(bench|config/cdk)/' | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
  done | tar --null -T - -c | tar -x -C "$1"
}

copy() { # [--from=STAGE] SOURCE TARGET
  local from=
  case $1 in --from=*) from=${1#--from=} && shift ;; esac
  local target=$2
  case $target in /*) ;; *) target=${workdir_of[$stage]}/$target ;; esac
  mkdir -p "$work/$stage$target"
  if [ -n "$from" ]; then
    cp -a "$work/$from$1/." "$work/$stage$target"
  elif [ "$1" = . ]; then
    copy_sources "$work/$stage$target"
  else
    cp -a "$1" "$work/$stage$target"
  fi
}

words() { # ["a", "b"] -> a b
  tr -d '[]",' <<<"$1"
}

step() { # INSTRUCTION REST
  local rest=$2 parts
  read -r -a parts <<<"$rest"
  case $1 in
    ARG) arguments[${rest%%=*}]=${rest#*=} ;;
    FROM) begin_stage "${parts[@]}" ;;
    COPY) copy "${parts[@]}" ;;
    RUN)
      say "$stage: $rest"
      inside "$stage" sh -c "cd ${workdir_of[$stage]} && $rest" >&2
      ;;
    ENV) env_of[$stage]+=" $rest" ;;
    WORKDIR) workdir_of[$stage]=$rest && mkdir -p "$work/$stage$rest" ;;
    USER) user_of[$stage]=$rest ;;
    ENTRYPOINT) entrypoint_of[$stage]=$(words "$rest") ;;
    CMD) command_of[$stage]=$(words "$rest") ;;
    HEALTHCHECK) health_of[$stage]=$(words "${rest#*CMD }") ;;
    VOLUME | EXPOSE) ;;
    *) fail "the Dockerfile's $1 is unknown" ;;
  esac
}

follow() {
  local instruction rest
  while read -r instruction rest; do
    case $instruction in '' | '#'*) ;; *) step "$instruction" "$rest" ;; esac
  done <Dockerfile
}

# container STAGE [NAME=VALUE...] -- COMMAND...: as Docker would run it.
container() {
  local name=$1 variables=()
  shift
  while [ "$1" != -- ]; do variables+=("$1") && shift; done
  shift
  # shellcheck disable=SC2086,SC2016 # NAME=VALUE words; the inner shell's parameters
  inside "$name" ${env_of[$name]} "${variables[@]}" setpriv --reuid "${user_of[$name]%:*}" --regid "${user_of[$name]#*:}" \
    --clear-groups --no-new-privs sh -c 'cd "$0" && exec "$@"' "${workdir_of[$name]}" "$@"
}

# -- the images -------------------------------------------------------------------------------------------------------

eventually() {
  local tries=200
  until "$@" >/dev/null 2>&1; do
    [ $((tries -= 1)) -gt 0 ] || fail "did not happen: $*"
    sleep 0.1
  done
}

without_compiler() {
  local tool
  for tool in cc gcc c99 as ld make cmake; do
    [ -z "$(inside "$1" sh -c "command -v $tool")" ] || fail "there is a $tool in the image $1"
  done
}

try_server() {
  local out server child order
  say "the server refuses to be open without a secret"
  # shellcheck disable=SC2086 # words
  if out=$(container server -- ${entrypoint_of[server]} ${command_of[server]} 2>&1); then fail "it started: $out"; fi
  grep -q PaymentsSecret <<<"$out" || fail "it says: $out"
  say "the server takes an order"
  # shellcheck disable=SC2086
  container server PERIGEE_PAYMENTS_SECRET=s3cret -- ${entrypoint_of[server]} ${command_of[server]} >"$work/server.log" 2>&1 &
  server=$!
  # shellcheck disable=SC2086
  eventually container server -- ${health_of[server]}
  order=$(curl -sS http://127.0.0.1:8080/orders -H 'content-type: application/json' \
    -d '{"order_id":"image-1","user_id":"u1","customer_name":"José 李雷","item":"Tea","quantity":2,"total_price":1250}')
  grep -q '"order_id":"image-1"' <<<"$order" || fail "the order is answered: $order"
  eventually receipt
  child=$(pgrep -P "$server")
  [ "$(stat -c %u "/proc/$child")" = 10001 ] || fail "the server is not user 10001"
  [ "$(stat -c %u "$work/server/data/store.db")" = 10001 ] || fail "its store is not the user's"
  kill -TERM "$child"
  wait "$server" || fail "the server ended badly: $(cat "$work/server.log")"
}

receipt() {
  local link
  link=$(curl -sS http://127.0.0.1:8080/receipt/image-1 | sed -n 's/.*"signedReceiptUrl":"\([^"]*\)".*/\1/p')
  [ -n "$link" ] && curl -sS "$link" | head -c 4 | grep -q %PDF
}

# A bootstrap that speaks the Runtime API is answered by one event: bad input, which needs no AWS.
try_lambda() {
  local answer
  say "the Lambda image answers an event"
  cat >"$work/bootstrap.sh" <<END
#!/bin/sh
exec $(command -v chroot) --userspec=${user_of[lambda]} "$work/lambda" /usr/bin/env -C ${workdir_of[lambda]} ${env_of[lambda]} ${entrypoint_of[lambda]} "\$@"
END
  chmod +x "$work/bootstrap.sh"
  inside build /src/build/release/perigee event apigw-http --method POST --path /orders --body '{}' >"$work/event.json" ||
    fail "no event"
  # shellcheck disable=SC2086
  answer=$("$work/build/src/build/release/perigee" runtime-api --event "$work/event.json" -- "$work/bootstrap.sh" ${command_of[lambda]})
  grep -q '"statusCode":400' <<<"$answer" || fail "the event is answered: $answer"
}

if [ "${PERIGEE_IMAGE_CHECK:-}" = 1 ]; then
  follow
  without_compiler server
  without_compiler lambda
  export PERIGEE_IMAGE_CHECK=2
  declare -p env_of user_of workdir_of entrypoint_of command_of health_of >"$work/images"
  exec unshare --net "$0" "$work" # loopback of its own: the server listens on all addresses
fi
# shellcheck disable=SC1091
. "$work/images"
ip link set lo up
try_server
try_lambda
say "both images work"
