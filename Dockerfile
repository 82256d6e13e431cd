# The service alone on a root file system that holds no shell and no package manager.
#
#   docker build --tag device-management .
#
# Plain Dockerfile syntax: every builder of the last years understands it, and the dependency stage is an ordinary
# layer, which registries and CI caches keep where a cache mount would stay on one machine.

FROM rust:1.95-bookworm AS build
WORKDIR /src

# Dependencies first, around an empty crate: this layer lasts until Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo '//! Stands in for the library.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked

# The build embeds the migrations and the API description. Sources can be older than the stand-ins that were just
# compiled, and cargo goes by age: `touch` makes them new.
COPY openapi.yaml ./
COPY migrations migrations
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked \
    && install -D target/release/device-management /image/device-management \
    && install --directory /image/data

# glibc, libgcc, certificate authorities and a user without rights; of the same Debian release as the build stage.
FROM gcr.io/distroless/cc-debian12:nonroot

LABEL org.opencontainers.image.title="device-management" \
      org.opencontainers.image.description="Binds phones to persons, keeps their public keys and proves later which device signed" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /image/device-management /usr/local/bin/device-management
# For a single node on SQLite: the only place that the service writes to, when a volume is mounted here.
COPY --from=build --chown=65532:65532 /image/data /data
WORKDIR /data

# In production mode the service names every setting that is missing and does not start without it.
ENV MODE=production \
    HTTP_ADDR=0.0.0.0:8080 \
    METRICS_ADDR=0.0.0.0:9464 \
    LOG_FORMAT=json

# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/device-management", "healthcheck"]

ENTRYPOINT ["/usr/local/bin/device-management"]
CMD ["serve"]
