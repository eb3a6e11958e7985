# The book's environment: Python, Chromium for the page tests, and all that requirements.txt pins,
# with PyTorch's CPU build. Started as it is, it serves the chapters in JupyterLab on port 8888.
FROM python:3.11-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        chromium git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 reader \
    && install -d -o reader -g reader /opt/venv /book
USER reader
WORKDIR /book
COPY --chown=reader requirements.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir uv \
    && /opt/venv/bin/uv pip install --no-cache --python /opt/venv --torch-backend=cpu -r requirements.txt
COPY --chown=reader . ./
RUN ln -s /opt/venv .venv && make .venv/.installed
EXPOSE 8888
CMD ["make", "lab", "LAB_FLAGS=--ip=0.0.0.0 --no-browser"]
