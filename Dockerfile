# docker build -t mushan --build-arg MUSHAN_COMMIT=$(git describe --always --dirty --exclude='*') .
# docker run --rm --security-opt seccomp=FILE --ulimit memlock=67108864 -v mushan:/data -p 8081:8081 mushan
#
# Docker's own seccomp profile forbids io_uring; FILE is that profile with io_uring_setup, io_uring_enter and
# io_uring_register allowed (README, "Start it"). Where io_uring is forbidden the server says so in one sentence and exits with
# status 2.

FROM rust:1.95-bookworm AS build
WORKDIR /src
# The commit that `mushan --version` tells: .dockerignore leaves out what git would say.
ARG MUSHAN_COMMIT
COPY . .
RUN cargo build --locked --release --no-default-features --features server \
    && mkdir -p /out/data && cp target/release/mushan /out/

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/mushan /usr/bin/mushan
COPY --from=build --chown=nonroot:nonroot /out/data /data
VOLUME /data
EXPOSE 8081
# The HTTP API listens inside the container only; `docker exec` reaches it, and MUSHAN_ADMIN__LISTEN opens it.
ENV MUSHAN_DATA_DIR=/data
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/mushan"]
CMD ["serve"]
