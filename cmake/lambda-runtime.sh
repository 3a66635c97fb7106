#!/usr/bin/env bash
# lambda-runtime.sh CC BOOTSTRAP OUT: gathers in OUT all that the bootstrap needs where there is no other file: its own
# loader and libc, the libraries that it links or loads later, fonts, certificates. Everything comes from the packages of
# this distribution; what is missing ends it, by name. docs/lambda.md, "Packaging", describes the layout.
set -euo pipefail
export LC_ALL=C
cc=$1 bootstrap=$2 out=$3

fail() {
  echo "lambda-runtime: $*" >&2
  exit 1
}

# Libraries that Debian's libcurl and libharu are linked with for what Perigee never does: LDAP, RTMP, SSH, Kerberos,
# cookies of public suffixes, names that are not ASCII, compressed answers; PNG files. With all that they link in turn they
# are 9 of 13 MB and most of the time that loading libcurl takes. In their place come libraries of a few functions that
# refuse.
refused='^lib(rtmp|ssh2|psl|gssapi_krb5|ldap-[0-9.]+|lber-[0-9.]+|idn2|zstd|brotlidec|png16)\.so'

needed() { objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }'; }

# The file behind a soname, where the compiler's linker finds libraries.
find_library() {
  local path
  path=$("$cc" -print-file-name="$1")
  [ -e "$path" ] || fail "no library $1, which $2 needs: install the package that holds it"
  readlink -f "$path"
}

symbols() { # FILE und|def: dynamic symbols, name per line
  if [ "$2" = und ]; then
    objdump -T "$1" | awk '/\*UND\*/ { print $NF }'
  else
    objdump -T "$1" | awk '!/\*UND\*/ && / (.text|.data|.bss|.data.rel.ro|.rodata)\t/ { v = $(NF - 1); gsub(/[()]/, "", v); print $NF, v, ($0 ~ / DO / ? "object" : "function") }'
  fi | sort -u
}

# refuse SONAME USER...: lib/SONAME with what USER takes from it. A function returns 0 (no handle, no answer; of libssh2:
# it is initialised), those of GSS-API GSS_S_FAILURE, ldap_get_option LDAP_OTHER.
refuse() {
  local soname=$1 user=$2 real work name version kind value versions=""
  real=$(find_library "$soname" "$user")
  work=$(mktemp -d)
  {
    symbols "$real" def | join - <(symbols "$user" und) | while read -r name version kind; do
      value=0
      case $name in gss_*) value=$((13 << 16)) ;; ldap_get_option) value=80 ;; esac
      if [ "$kind" = object ]; then echo "void *const $name = 0;"; else echo "long $name(void) { return $value; }"; fi
      [ "$version" = Base ] || echo "$version $name" >>"$work/versions"
    done
  } >"$work/refuse.c"
  if [ -s "$work/versions" ]; then
    sort "$work/versions" | awk '$1 != v { if (v) print "};"; v = $1; print v, "{ global:" } { print $2 ";" } END { print "};" }' >"$work/map"
    versions=-Wl,--version-script=$work/map
  fi
  # shellcheck disable=SC2086 # empty or one word
  "$cc" -shared -fPIC -Os -s -nostdlib -fno-builtin -Wl,-soname,"$soname" -Wl,--build-id=none $versions \
    -o "$out/lib/$soname" "$work/refuse.c"
  rm -r "$work"
}

# take SONAME USER: into lib/, with all that it needs.
take() {
  local path soname
  [ -e "$out/lib/$1" ] && return
  if [[ $1 =~ $refused ]]; then
    refuse "$1" "$2"
    return
  fi
  path=$(find_library "$1" "$2")
  install -m 755 "$path" "$out/lib/$1"
  for soname in $(needed "$path"); do take "$soname" "$path"; done
}

font() { # NAME CANDIDATE...
  local name=$1 path
  shift
  for path in "$@"; do
    [ -e "$path" ] || continue
    install -m 644 "$path" "$out/fonts/$(basename "$path")"
    return
  done
  fail "no $name font for receipts: none of $*"
}

# The public roots by the hash of their names, as OpenSSL looks for them; not those that somebody added to this machine.
certificates() {
  local link target
  for link in /etc/ssl/certs/*.[0-9]; do
    target=$(readlink -f "$link")
    case $target in /usr/share/ca-certificates/mozilla/*) install -m 644 "$target" "$out/certs/${link##*/}" ;; esac
  done
  [ -n "$(ls "$out/certs")" ] || fail "no certificates in /etc/ssl/certs: install the package ca-certificates"
}

rm -rf "$out"
mkdir -p "$out/lib/lua" "$out/fonts" "$out/certs"
install -m 755 "$bootstrap" "$out/bootstrap"

loader=$(objcopy -O binary --only-section=.interp "$bootstrap" /dev/stdout | tr -d '\0')
[ -z "$loader" ] || take "$(basename "$loader")" "$bootstrap"
for soname in $(needed "$bootstrap"); do take "$soname" "$bootstrap"; done
# What it loads when it is first called for is named in it.
for soname in $(strings -n 6 "$bootstrap" | grep -Ex 'lib[A-Za-z0-9_+.-]+\.so(\.[0-9]+)*' | sort -u); do
  take "$soname" "$bootstrap"
done

cjson=$("$cc" -print-file-name=lua/5.4/cjson.so)
[ -e "$cjson" ] || fail "no Lua module cjson: install the package lua-cjson"
install -m 644 "$(readlink -f "$cjson")" "$out/lib/lua/cjson.so"

truetype=/usr/share/fonts/truetype
font regular $truetype/liberation2/LiberationSans-Regular.ttf $truetype/liberation/LiberationSans-Regular.ttf
font bold $truetype/liberation2/LiberationSans-Bold.ttf $truetype/liberation/LiberationSans-Bold.ttf
font fallback $truetype/droid/DroidSansFallbackFull.ttf /usr/share/fonts-droid-fallback/truetype/DroidSansFallback.ttf
certificates
