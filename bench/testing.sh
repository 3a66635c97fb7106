#!/usr/bin/env bash
# Tests: what an application of its own costs each test, an order in it, a restore; beside moto in process. And how many runs a
# second `perigee chaos` makes.
# usage: bench/testing.sh
# environment: ROUNDS (5), APPS (200 a round; moto a quarter of that)
# shellcheck source=bench/common.sh
. "$(dirname "$0")/common.sh"

build_targets perigee
perigee=$root/$built/perigee
python=build/peers/venv/bin/python
begin_work
export APPS=${APPS:-200}
"$python" -c 'import moto' 2>/dev/null || { echo "bench: moto is not there (./dev peers)" >&2; python=; }
for round in $(seq "${ROUNDS:-5}"); do
  "$perigee" run bench/testing.lua >>"$work/ours"
  [ -z "$python" ] || "$python" bench/testing_moto.py >>"$work/moto"
  "$perigee" chaos --json --spec "$work/chaos" | sed 's/.*"points":\([0-9]*\).*"runs":\([0-9]*\).*"seconds":\([0-9.]*\).*/{"points":\1,"runs":\2,"seconds":\3}/' >>"$work/chaos.runs"
  say "round $round: $(tail -n 1 "$work/ours") $(tail -n 1 "$work/chaos.runs")"
done

echo
printf 'ms each, medians of %s rounds   perigee   moto   moto/perigee\n' "${ROUNDS:-5}"
for what in app app_with_order order restore; do
  ours=$(field "$what" <"$work/ours" | median)
  theirs=-
  [ -z "$python" ] || [ "$what" = restore ] || theirs=$(field "$what" <"$work/moto" | median)
  awk -v w="$what" -v a="$ours" -v b="$theirs" 'BEGIN {
    printf "%-32s %7.2f  %6s   %s\n", w, a, b == "-" ? b : sprintf("%.1f", b), b == "-" ? b : sprintf("%.0f", b / a) }'
done
awk -v p="$(field points <"$work/chaos.runs" | median)" -v r="$(field runs <"$work/chaos.runs" | median)" \
  -v s="$(field seconds <"$work/chaos.runs" | median)" 'BEGIN { printf "chaos: %d points, %d runs in %.1f s: %.0f runs/s\n", p, r, s, r / s }'
