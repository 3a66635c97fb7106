#!/usr/bin/env bash
# docker/build.sh OUT: builds everything from the sources in the present directory. OUT/server is laid over the server
# image, OUT/task is /var/task of the lambda image, OUT/runtime what packages for Lambda are made of beside handlers.
set -euo pipefail
out=$1

./dev package
install -D -s build/release/perigee "$out/server/usr/bin/perigee"
install -D -m 644 docker/health.lua "$out/server/srv/perigee/health.lua"
cp -r handlers "$out/server/srv/perigee/"
install -D -m 644 -t "$out/server/srv/perigee/config" config/template.yaml
cp -r config/schemas "$out/server/srv/perigee/config/"
cp -r build/release/lambda "$out/task"
cp -r build/release/lambda-runtime "$out/runtime"
