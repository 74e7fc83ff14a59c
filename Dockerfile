# The relay as a container: docker build -t monprov/monprov:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Built once and run for long: a tenth smaller and a twentieth faster, for three times the linking.
ENV CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates wget \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65534 -g 65534 -m 0700 /var/lib/monprov
COPY --from=build /src/target/release/monprov /bin/monprov
USER 65534:65534
VOLUME /var/lib/monprov
ENTRYPOINT ["/bin/monprov"]
