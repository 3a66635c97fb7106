#!/bin/sh
# What the server image needs beside the program: the libraries that it loads, fonts, certificates, a user of its own.
set -eu
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends libmicrohttpd12 libsqlite3-0 libyaml-0-2 \
  libcurl4 libexpat1 zlib1g libssl3 libhpdf-2.3.0 libqrencode4 lua-cjson fonts-liberation2 fonts-droid-fallback \
  ca-certificates
rm -rf /var/lib/apt/lists/*
groupadd --gid 10001 perigee
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/perigee --shell /usr/sbin/nologin perigee
install -d -o perigee -g perigee -m 750 /data
