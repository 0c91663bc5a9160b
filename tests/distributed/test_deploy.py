"""The files of deploy/ for clusters: whole, of one version of Ray, and as Ray expects them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_all_files_name_one_version_of_ray():
    text = "".join((DEPLOY / name).read_text() for name in ("ray.Dockerfile", "rayjob.yaml"))
    versions = set(re.findall(r"ray:(\d+\.\d+\.\d+)-|rayVersion: \"(\d+\.\d+\.\d+)\"", text))
    assert {number for pair in versions for number in pair if number} == {"2.60.0"}


def test_the_job_of_kubernetes_has_one_image_and_a_cache_that_all_share():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [pod["template"]["spec"]["containers"][0] for pod in pods]
    assert len({container["image"] for container in containers}) == 1
    caches = [{item["name"]: item["value"] for item in container["env"]}["TLKIT_CACHE"] for container in containers]
    assert len(set(caches)) == 1
    assert "--on ray" in job["spec"]["entrypoint"]


def test_the_cluster_of_ec2_has_the_form_that_ray_expects():
    yaml, jsonschema, ray = (pytest.importorskip(name) for name in ("yaml", "jsonschema", "ray"))
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(yaml.safe_load((DEPLOY / "ray-aws.yaml").read_text()), schema)


def test_the_script_of_slurm_can_be_parsed():
    shell = shutil.which("bash")
    if not shell:
        pytest.skip("there is no bash")
    assert subprocess.run([shell, "-n", DEPLOY / "slurm.sh"], check=False).returncode == 0
