# The images of one build. docs/lambda.md, "Packaging", says how to run them; ./dev image-check goes through these steps
# without Docker.
#
#   docker build --target server -t perigee .
#   docker build --target lambda -t perigee-lambda .          # --platform linux/arm64: for Lambda on Graviton
#   docker build --target runtime --output arm64 --platform linux/arm64 .       # for `perigee package --runtime arm64`

ARG BASE=debian:12-slim
# The lambda image needs nothing of its base, which may be `scratch` too.
ARG LAMBDA_BASE=debian:12-slim

FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN docker/build.sh /out

# What Lambda packages are made of beside handlers, to be taken out of the image.
FROM scratch AS runtime
COPY --from=build /out/runtime/ /

# `perigee serve` on the data volume /data. It listens on all addresses, so it wants the secrets that the template
# requires off loopback: -e PERIGEE_PAYMENTS_SECRET=...
FROM ${BASE} AS server
COPY docker/server.sh /usr/local/sbin/
RUN /usr/local/sbin/server.sh
COPY --from=build /out/server/ /
ENV PERIGEE_HOST=0.0.0.0
ENV PERIGEE_DATA=/data
WORKDIR /srv/perigee
USER 10001:10001
VOLUME /data
EXPOSE 8080 4566
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["perigee", "run", "health.lua"]
ENTRYPOINT ["perigee"]
CMD ["serve"]

# A container image for Lambda: the command of the image, or of each function (ImageConfig.Command), is its handler.
FROM ${LAMBDA_BASE} AS lambda
COPY --from=build /out/task/ /var/task/
ENV LAMBDA_TASK_ROOT=/var/task
WORKDIR /var/task
USER 10001:10001
ENTRYPOINT ["/var/task/bootstrap"]
CMD ["orders.create"]
