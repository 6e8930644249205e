"""Files for deploying the app: they name files, options and versions that exist."""

import re
from pathlib import Path

import yaml

from study.web.server import _read_options

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
HOSTED = (ROOT / "deploy" / "hosted.md").read_text("utf-8")
REQUIREMENTS = (ROOT / "requirements.txt").read_text("utf-8")


def test_the_image_starts_the_app_where_a_container_is_reached() -> None:
    command = re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    words = re.findall(r'"([^"]+)"', command[1])
    assert words[:2] == ["python", "app.py"]
    options = _read_options(words[2:])
    assert (options.host, options.port) == ("0.0.0.0", 7860)
    assert "EXPOSE 7860" in DOCKERFILE
    assert "LORA_STUDY_HOME=/data" in DOCKERFILE
    assert "VOLUME /data" in DOCKERFILE


def test_the_image_is_built_for_a_cpu_or_for_cuda() -> None:
    assert "ARG TORCH=cpu" in DOCKERFILE
    assert "whl/${TORCH}" in DOCKERFILE
    assert re.search(r"^torch[><=]", REQUIREMENTS, re.MULTILINE)  # what the image's grep looks for


def test_the_front_matter_is_valid_and_names_what_is_there() -> None:
    blocks = [
        yaml.safe_load(block.strip("-\n"))
        for block in re.findall(r"```yaml\n---\n(.*?)```", HOSTED, re.DOTALL)
    ]
    assert [block["sdk"] for block in blocks] == ["gradio", "docker"]
    gradio, docker = blocks
    assert (ROOT / gradio["app_file"]).is_file()
    assert docker["app_port"] == 7860
    lowest = re.search(r"^gradio>=([\d.]+)", REQUIREMENTS, re.MULTILINE)
    assert lowest is not None
    assert gradio["sdk_version"].startswith(lowest[1])
    assert all(len(block["title"]) > 3 and block["license"] == "apache-2.0" for block in blocks)
