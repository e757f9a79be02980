# PostgreSQL with omendb: docker build --build-arg PG_MAJOR=17 -t omendb . The package is made as ./dev package makes it for anybody.
ARG PG_MAJOR=17
ARG DEBIAN_CODENAME=bookworm

FROM postgres:${PG_MAJOR}-${DEBIAN_CODENAME} AS build
ARG PG_MAJOR
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
        binutils ca-certificates cargo-web clang dpkg-dev gcc libc6-dev libclang-dev pkg-config "postgresql-server-dev-${PG_MAJOR}" \
        rustc-web rustfmt-web && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /omendb
COPY . .
RUN PG_CONFIG=/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config OMENDB_PACKAGES=/packages ./dev package

FROM postgres:${PG_MAJOR}-${DEBIAN_CODENAME}
ARG PG_MAJOR
RUN --mount=type=bind,from=build,source=/packages,target=/packages \
    dpkg --install /packages/postgresql-"${PG_MAJOR}"-omendb_*.deb /packages/postgresql-"${PG_MAJOR}"-omendb-vector_*.deb
