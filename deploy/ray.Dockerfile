# Workers and head of a Ray cluster that runs tlkit. From the root of the repository:
#   docker build -f deploy/ray.Dockerfile -t tlkit-ray .
# The image has the versions of all machines in one place; docs/scale.md says why they must be equal.
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM rayproject/ray:2.60.0-py312
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/tlkit-*.whl)[train,ray,storage]" && sudo rm -r /wheels
ENV TF_CPP_MIN_LOG_LEVEL=2 RAY_USAGE_STATS_ENABLED=0
