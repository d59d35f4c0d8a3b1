# kie-watcher in a container: `docker build -t kie-watcher .`, then see compose.yaml, or
#   docker run --init --read-only --tmpfs /tmp -v kie-watcher:/var/lib/kie-watcher kie-watcher
# As it is it watches with the defaults and prints alerts to its output. A configuration of yours is
# mounted to /etc/kie-watcher/config.yaml and read again on `docker kill --signal=HUP`.

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /source
COPY requirements.lock ./
# Everything that will run, or that the wheel is built with, checked against its hash. From here on
# nothing comes from the network. No source packages: building those would fetch more, unchecked.
RUN python -m pip download --no-cache-dir --require-hashes --only-binary :all: \
      --dest /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE config.example.yaml ./
COPY watcher/ watcher/
# One wheel, installed as anyone else would install it: what runs is what is released.
RUN python -m pip install --no-cache-dir --no-index --find-links /wheels /wheels/hatchling-*.whl \
 && python -m pip wheel --no-cache-dir --no-index --no-build-isolation --no-deps \
      --wheel-dir /wheels .
# Of the wheels only what the program needs: neither pip nor what built it comes along.
RUN python -m venv --without-pip /opt/kie-watcher \
 && python -m pip --python /opt/kie-watcher/bin/python install --no-cache-dir --no-index \
      --find-links /wheels /wheels/kie_watcher-*.whl
# The health check asks the daemon at its own address: the one setting that is not as by default.
RUN mkdir -p /etc/kie-watcher \
 && printf 'web:\n  listen: "127.0.0.1:9178"\n' > /etc/kie-watcher/config.yaml

FROM python:3.12.12-slim-bookworm
COPY --from=build /opt/kie-watcher /opt/kie-watcher
COPY --from=build /etc/kie-watcher /etc/kie-watcher
# A fixed number, so that the volume belongs to the same user after every rebuild.
RUN useradd --system --uid 8731 --no-create-home --shell /usr/sbin/nologin kie-watcher \
 && install --directory --owner=kie-watcher --group=kie-watcher --mode=0700 /var/lib/kie-watcher
# Its root file system may be read-only: nothing is compiled or written but in the volume.
ENV PATH=/opt/kie-watcher/bin:$PATH \
    HOME=/var/lib/kie-watcher \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1
# By number: an engine that must not run root can tell without reading passwd.
USER 8731
# state.path is relative by default, so the state lands in the volume.
WORKDIR /var/lib/kie-watcher
VOLUME /var/lib/kie-watcher
# Exec forms throughout: the daemon itself gets the signals, and no shell is needed to run it.
# SIGTERM finishes what is in hand and stops within seconds; SIGHUP reads the configuration again.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=1m --timeout=10s --start-period=2m --retries=3 \
    CMD ["kie-watcher", "health"]
ENTRYPOINT ["kie-watcher"]
CMD ["run"]
