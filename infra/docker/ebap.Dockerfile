# The one image of every service: the project's own installer, run at build time, with every dependency from its lock.
FROM python:3.11-slim-bookworm

# A fixed id: files of a volume keep their owner across builds.
RUN groupadd --gid 10001 ebap \
 && useradd --uid 10001 --gid 10001 --create-home ebap \
 && install -d -o ebap -g ebap /opt/ebap
USER 10001
WORKDIR /opt/ebap
ENV PYTHONUNBUFFERED=1 \
    TZ=UTC

# Only what the installer reads, so that other changes keep this layer cached. Python files are compiled in the image.
COPY --chown=10001:10001 pyproject.toml ./
COPY --chown=10001:10001 infra/locks infra/locks
COPY --chown=10001:10001 infra/install infra/install
COPY --chown=10001:10001 spark_apps/lakehouse/__init__.py spark_apps/lakehouse/env_file.py spark_apps/lakehouse/errors.py \
     spark_apps/lakehouse/process.py spark_apps/lakehouse/settings.py spark_apps/lakehouse/settings_fields.py \
     spark_apps/lakehouse/settings_live.py spark_apps/lakehouse/
COPY --chown=10001:10001 spark_apps/lakehouse/delta/__init__.py spark_apps/lakehouse/delta/objects.py spark_apps/lakehouse/delta/
# The servers of the live half are in the image too: one image serves both halves.
ARG EBAP_LIVE=yes
COPY --chown=10001:10001 dashboards/boards/package.json dashboards/boards/package-lock.json dashboards/boards/.npmrc dashboards/boards/
RUN --mount=type=cache,target=/home/ebap/.cache/ebap,uid=10001,gid=10001 \
    UV_COMPILE_BYTECODE=1 python infra/install && .ebap/venv/main/bin/python -m infra.install.java
ENV PATH=/opt/ebap/.ebap/venv/main/bin:$PATH

# A new volume mounted on one of these folders inherits its owner and mode.
RUN mkdir -p .ebap/data .ebap/lake .ebap/control .ebap/airflow .ebap/logs .ebap/tmp .ebap/run \
 && mkdir -m 0700 .ebap/secrets
COPY --chown=10001:10001 . .
RUN python -m compileall -q spark_apps generator infra dags plugins dashboards
