# The image of the service: one binary on distroless, without the simulated sources.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t scrm-gateway:0.1.0 .
#
# Both base images are arguments, so that a mirror or a digest (`…@sha256:…`) can be named. They must agree on the C
# library: both are Debian 12.
ARG RUST_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# The dependencies in a layer of their own, built from an empty program: the layer is made again only when Cargo.toml or
# Cargo.lock change. One package needs no more than this, neither a planner to install nor a builder's cache mounts.
# rust-toolchain.toml stays outside: the image has the toolchain, and that file would fetch clippy and rustfmt too.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --profile dist --locked --no-default-features --bin scrm-gateway \
    && rm -r src

# Cargo compares times, and the sources may be older than the empty program: without `touch` that one would be shipped.
# The empty program prints nothing, so the last line would find it.
COPY src src
COPY openapi/examples openapi/examples
RUN touch src/main.rs src/lib.rs \
    && cargo build --profile dist --locked --no-default-features --bin scrm-gateway \
    && test -n "$(target/dist/scrm-gateway --version)"

# No shell, no package manager; the C library, the certificate authorities, and a user who is not root.
FROM ${RUNTIME_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="scrm-gateway" \
      org.opencontainers.image.description="One clean REST contract in front of two very different SCRM customer APIs" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /build/target/dist/scrm-gateway /usr/local/bin/scrm-gateway
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/scrm-gateway/
# By number: Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
# 8080 for callers, 9090 for probes and metrics.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/scrm-gateway"]
CMD ["serve"]
