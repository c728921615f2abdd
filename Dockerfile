# One file for every program of the workspace; SERVICE says which one the image holds:
#
#   docker build --build-arg SERVICE=product-service .

FROM rust:1.95-bookworm AS manifests
WORKDIR /src
COPY . .
# What says which dependencies there are, and an empty program wherever a manifest wants to find a target.
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -name main.rs ! -name lib.rs ! -path '*/benches/*.rs' -delete \
 && find . -name '*.rs' | while read -r file; do echo '#![allow(warnings)] fn main() {}' >"$file"; done

FROM rust:1.95-bookworm AS build
WORKDIR /src
# The dependencies are a layer of their own: a change in our sources does not build them again.
COPY --from=manifests /src .
RUN cargo build --release --locked --workspace --exclude testkit --bins
COPY . .
# All programs at once, for the images of all services share this stage. Cargo goes by the time of a file, and the
# sources may be older than the empty programs that were built before.
RUN find . -name '*.rs' -exec touch {} + && cargo build --release --locked --workspace --exclude testkit --bins

FROM debian:bookworm-slim
# libz, which the Kafka client links where the build image has its headers, is here since dpkg needs it.
# DATA_DIR is for the embedded binder and its databases: a volume put there belongs to the user that writes to it.
RUN install -d -o 10001 -g 10001 /data
USER 10001:10001
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/service"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["/usr/local/bin/service", "healthcheck"]
ARG SERVICE=landscape
COPY --from=build /src/target/release/${SERVICE} /usr/local/bin/service
