# The operator's image, for those who have a builder of images. `make image` makes the same without one.
#
#   docker build -t localhost/task-manager:0.1.0 .                      for this machine
#   docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
#
# The builder runs on the machine's own architecture and compiles for the other one; nothing is emulated.
ARG RUST_VERSION=1.95
FROM --platform=$BUILDPLATFORM docker.io/library/rust:${RUST_VERSION}-bookworm AS build
ARG TARGETARCH
WORKDIR /task-manager
RUN set -eu; \
    case "$TARGETARCH" in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) echo "no $TARGETARCH" >&2; exit 1 ;; esac; \
    if [ "$(uname -m)" != "$machine" ]; then \
      apt-get update && apt-get install -y --no-install-recommends "gcc-$(echo $machine | tr _ -)-linux-gnu" "libc6-dev-$TARGETARCH-cross"; \
      rustup target add "$machine-unknown-linux-gnu"; \
    fi
COPY . .
RUN mv "$(image/binary "$TARGETARCH")" /program \
 && bash -c 'source image/fill.sh && fill /root-of-image /program'

FROM scratch
COPY --from=build /root-of-image /
USER 65532:65532
WORKDIR /var/lib/task-manager
ENTRYPOINT ["/task-manager"]
CMD ["run"]
