# kie-watcher in a container: `docker build -t kie-watcher .`, then
#   docker run -v kie-watcher:/var/lib/kie-watcher -v ./config.yaml:/etc/kie-watcher/config.yaml:ro kie-watcher
# Without a configuration it watches with the defaults and prints alerts to its output.

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/kie-watcher
COPY pyproject.toml README.md LICENSE config.example.yaml ./
COPY watcher/ watcher/
# One wheel, installed as anyone else would install it: what runs is what is released.
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/kie-watcher/bin/pip install --no-cache-dir /wheels/*.whl

FROM python:3.12.12-slim-bookworm
COPY --from=build /opt/kie-watcher /opt/kie-watcher
# A fixed number, so that the volume belongs to the same user after every rebuild.
RUN useradd --system --uid 8731 --no-create-home --shell /usr/sbin/nologin kie-watcher \
 && install --directory --owner=kie-watcher --group=kie-watcher --mode=0700 /var/lib/kie-watcher
ENV PATH=/opt/kie-watcher/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# By number: an engine that must not run root can tell without reading passwd.
USER 8731
# state.path is relative by default, so the state lands in the volume.
WORKDIR /var/lib/kie-watcher
VOLUME /var/lib/kie-watcher
# The daemon stops on SIGTERM, which is what `docker stop` sends; exec form, so that it gets it.
ENTRYPOINT ["kie-watcher"]
CMD ["run"]
