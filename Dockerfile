# The study app with everything it needs, for a CPU or an NVIDIA GPU.
#
#   docker build -t lora-study .                                      for a CPU
#   docker build -t lora-study --build-arg TORCH=cu130 .              for a GPU (driver 580 or newer)
#   docker build -t lora-study --build-arg TORCH=cu126 .              for a GPU with an older driver or card
#   docker run -p 7860:7860 -v lora-study:/data lora-study            add --gpus all for a GPU
#
# Progress, runs and models are kept in the volume /data. The first start fetches the embedded model (93 MB).

FROM python:3.12-slim

ARG TORCH=cpu

# hqq is a source package whose set-up would otherwise try to build CUDA kernels that the lab does not use.
ENV DISABLE_CUDA=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    LORA_STUDY_HOME=/data

# A hosted Gradio app runs as user 1000, and so does this image everywhere.
RUN useradd --create-home --uid 1000 learner && mkdir /data && chown learner /data

WORKDIR /app
COPY requirements.txt requirements-postgres.txt ./

# PyTorch first and from its own index: the package index has one build per system, and on Linux that is CUDA's.
RUN pip install "$(grep -E '^torch[><=]' requirements.txt)" --index-url "https://download.pytorch.org/whl/${TORCH}" \
    && pip install -r requirements-postgres.txt

COPY --chown=learner . .
USER learner
VOLUME /data
EXPOSE 7860
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
