# The daemon in a container: `docker build -t descartes-daemon .`, then
# `docker run --stop-timeout 60 -p 8080:8080 -p 8081:8081 -p 9090:9090 -v descartes:/var/lib/descartes descartes-daemon`.
# It listens on all addresses of the container, so everyone who calls needs a token or a key:
# docs/deployment.md. Agent programs are added in an image of your own (`FROM descartes-daemon`).

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p descartes-bin

FROM debian:bookworm-slim
RUN groupadd --gid 10001 descartes \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/descartes \
        --shell /usr/sbin/nologin descartes \
    && install -d -o descartes -g descartes -m 0700 /var/lib/descartes /run/descartes
COPY --from=build /src/target/release/descartes-daemon /src/target/release/descartes /usr/local/bin/

ENV STATE_DIRECTORY=/var/lib/descartes \
    RUNTIME_DIRECTORY=/run/descartes \
    DESCARTES_RUNTIME_DIR=/run/descartes \
    DESCARTES_AUTH__ENABLED=true \
    DESCARTES_SERVER__HTTP_ADDR=0.0.0.0 \
    DESCARTES_SERVER__WS_ADDR=0.0.0.0 \
    DESCARTES_SERVER__METRICS_ADDR=0.0.0.0

USER 10001:10001
WORKDIR /var/lib/descartes
VOLUME /var/lib/descartes
EXPOSE 8080 8081 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["descartes", "health"]
ENTRYPOINT ["descartes-daemon"]
