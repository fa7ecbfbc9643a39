# faceskd studio: server and workers in one image.
#
#   docker build -t faceskd-studio .                          for CPUs
#   docker build -t faceskd-studio --build-arg TORCH=cu130 .  for NVIDIA GPUs
#
# TORCH is a backend as `uv pip install --torch-backend` takes it.
FROM python:3.12-slim-bookworm

ARG TORCH=cpu

# OpenCV needs both libraries.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir uv

WORKDIR /source
COPY . .
RUN uv pip install --system --no-cache --torch-backend "$TORCH" --constraint constraints.txt '.[studio]' \
    && rm -rf /source/* \
    && useradd --create-home --uid 1000 studio \
    && install -d -o studio /data

USER 1000
WORKDIR /home/studio
ENV FACESKD_STUDIO_STORAGE=/data FACESKD_STUDIO_HOST=0.0.0.0
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["faceskd", "studio"]
