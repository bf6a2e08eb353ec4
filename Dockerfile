# The program as an image: `serve`, the commands and the simulators.
#   docker build -t okta-anypoint .
#   docker run --rm okta-anypoint demo
# compose.yaml runs `serve` behind a proxy that ends TLS. compose.demo.yaml runs it with the simulators.

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
# glibc, libgcc and root certificates; no shell. Its user is 65532.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# hadolint ignore=DL3006
FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin okta-anypoint && mkdir /data

# hadolint ignore=DL3006
FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="okta-anypoint" \
      org.opencontainers.image.description="Provisions people and teams from Okta into MuleSoft Anypoint Platform" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/target/release/okta-anypoint /usr/local/bin/okta-anypoint
# The program writes only here. A volume that is mounted here for the first time gets this owner.
COPY --from=build --chown=65532:65532 /data /data
ENV DATA_FILE=/data/okta-anypoint.db
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
# `serve` finishes running work within 8 seconds. Docker kills after 10.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/okta-anypoint", "ready"]
ENTRYPOINT ["/usr/local/bin/okta-anypoint"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
