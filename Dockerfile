# The service on a distroless root file system, without shell and package manager.
#
#   docker build --tag device-management .
#
# No BuildKit extensions, so that any builder can read it. The dependencies are an ordinary layer, which registries and
# CI caches can store; a cache mount would stay on one machine.

# BuildKit's SBOM then also has the crates of Cargo.lock, which cannot be read from the binary.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

FROM rust:1.95-bookworm AS build
WORKDIR /src

# Build the dependencies with an empty crate: this layer stays cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo '//! Placeholder for the library.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked

# The build embeds the migrations, the grants and the API document. cargo compares modification times, and the sources
# can be older than the placeholders compiled above: `touch` updates them.
COPY openapi.yaml ./
COPY migrations migrations
COPY docker/grants.sql docker/grants.sql
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked \
    && install -D target/release/device-management /image/device-management \
    && install --directory /image/data

# glibc, libgcc, CA certificates and an unprivileged user, from the same Debian release as the build stage.
FROM gcr.io/distroless/cc-debian12:nonroot

LABEL org.opencontainers.image.title="device-management" \
      org.opencontainers.image.description="Binds devices to persons by public key, one-time code and signature" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /image/device-management /usr/local/bin/device-management
# For a single node on SQLite: mount a volume here; the service writes nowhere else.
COPY --from=build --chown=65532:65532 /image/data /data
WORKDIR /data

# In production mode the service refuses to start with missing settings, and reports all of them.
ENV MODE=production \
    HTTP_ADDR=0.0.0.0:8080 \
    METRICS_ADDR=0.0.0.0:9464 \
    LOG_FORMAT=json

# Numeric, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/device-management", "healthcheck"]

ENTRYPOINT ["/usr/local/bin/device-management"]
CMD ["serve"]
