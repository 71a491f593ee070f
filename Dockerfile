# FluentPro as an image: one static binary, no shell, not root, read-only root.
#
#   docker build -t fluentpro .
#   docker run --read-only -p 8080:8080 -v fluentpro:/data \
#     -e FLUENTPRO_PUBLIC_ORIGINS=https://english.example.com \
#     -e FLUENTPRO_DATABASE_URL=postgres://… -e FLUENTPRO_REDIS_URL=redis://… \
#     -e OPENAI_API_KEY=… fluentpro
#
# The production profile names what is missing. To try it with everything
# embedded add: -e FLUENTPRO_PROFILE=development

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
ARG COMMIT=unknown
ARG DATE=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X github.com/fluentpro/fluentpro/internal/buildinfo.version=$VERSION -X github.com/fluentpro/fluentpro/internal/buildinfo.commit=$COMMIT -X github.com/fluentpro/fluentpro/internal/buildinfo.date=$DATE" -o /out/fluentpro ./cmd/fluentpro
RUN mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="FluentPro" \
      org.opencontainers.image.description="Practise professional English with an AI partner"
COPY --from=build /out/fluentpro /fluentpro
COPY --from=build --chown=65532:65532 /out/data /data
ENV FLUENTPRO_PROFILE=production \
    FLUENTPRO_LISTEN=0.0.0.0:8080 \
    FLUENTPRO_DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/fluentpro", "healthcheck"]
ENTRYPOINT ["/fluentpro"]
CMD ["serve"]
