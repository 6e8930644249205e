"""Files for deploying the app: they name files, options and versions that exist."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from classroom.__main__ import STUDENTS_PORT, _build_parser
from lora_lab.data import embedded_model
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL
from quizzes.grader import minilm
from study.base.import_limits import PACKAGE_BYTES
from study.web import device_routes
from study.web.serving.options import read_options

ROOT = Path(__file__).parents[1]
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
"""That a host knows (huggingface.co/docs/hub/spaces-config-reference)."""

NOT_ON_WINDOWS = "left out on Windows, because g++ or clang build it for Linux and macOS only"
PARTS = ("study", "flashcards", "quizzes", "lora_lab", "classroom")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
DEPLOY = ROOT / "deploy"
HOSTED = (ROOT / "deploy" / "hosted.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
REQUIREMENTS = (ROOT / "requirements.txt").read_text("utf-8")


def test_the_image_starts_the_app_where_a_container_is_reached() -> None:
    command = re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    words = re.findall(r'"([^"]+)"', command[1])
    assert words[:2] == ["python", "app.py"]
    options = read_options(words[2:])
    assert (options.host, options.port) == ("0.0.0.0", 7860)
    assert "EXPOSE 7860" in DOCKERFILE
    assert "LORA_STUDY_HOME=/data" in DOCKERFILE
    assert "VOLUME /data" in DOCKERFILE


def test_the_image_is_built_for_a_cpu_or_for_cuda() -> None:
    assert "ARG TORCH=cpu" in DOCKERFILE
    assert "whl/${TORCH}" in DOCKERFILE
    assert re.search(r"^torch[><=]", REQUIREMENTS, re.MULTILINE)  # what the image's grep looks for


def test_the_image_has_the_driver_of_the_database_that_it_may_be_told_to_use() -> None:
    assert "DATABASE_URL" in HOSTED
    copied = re.search(r"^COPY (requirements.*) \./$", DOCKERFILE, re.MULTILINE)
    assert copied is not None
    assert copied[1].split() == ["requirements.txt", "requirements-postgres.txt"]
    assert "pip install -r requirements-postgres.txt" in DOCKERFILE
    extra = (ROOT / "requirements-postgres.txt").read_text("utf-8")
    assert "psycopg" in extra
    assert "-r requirements.txt" in extra


def front_matter(text: str) -> dict[str, Any]:
    """What a host of Gradio apps reads: YAML between two lines of hyphens, at the very beginning."""
    block = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert block is not None, text[:40]
    found: dict[str, Any] = yaml.safe_load(block[1])
    return found


def test_the_readme_begins_with_what_a_host_of_gradio_apps_needs() -> None:
    settings = front_matter(README)
    assert settings["sdk"] == "gradio"
    declared = dict(re.findall(r"^([\w-]+)([<>=][^\s#]*)", REQUIREMENTS, re.MULTILINE))
    assert settings["sdk_version"] in SpecifierSet(declared["gradio"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"{settings['python_version']}.0" in SpecifierSet(project["requires-python"])
    assert f"FROM python:{settings['python_version']}-slim" in DOCKERFILE
    assert settings["license"] == project["license"].lower()
    assert (ROOT / settings["app_file"]).is_file()
    assert '__name__ == "__main__"' in (ROOT / settings["app_file"]).read_text("utf-8")  # the host runs it
    assert f"# {settings['title']}\n" in README
    assert {settings["colorFrom"], settings["colorTo"]} <= COLORS
    assert not settings["emoji"].isascii()


def test_the_models_of_the_front_matter_are_those_that_the_app_fetches() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    models = front_matter(README)["models"]
    assert models[0] == find_shape(EMBEDDED_MODEL).hub_id
    assert models[1] == "sentence-transformers/all-MiniLM-L6-v2"
    assert all(f"https://huggingface.co/{model})" in notice for model in models)
    assert len(models) == len({embedded_model.PACKAGE.name, minilm.PACKAGE.name})


def test_on_a_gpu_the_front_matter_differs_in_what_the_container_needs() -> None:
    (block,) = re.findall(r"```yaml\n(---\n.*?)```", HOSTED, re.DOTALL)
    settings, usual = front_matter(block), front_matter(README)
    assert settings["sdk"] == "docker"
    assert f"EXPOSE {settings['app_port']}\n" in DOCKERFILE
    assert "ARG TORCH=cpu" in HOSTED
    same = settings.keys() - {"sdk", "app_port", "suggested_hardware"}
    assert {name: settings[name] for name in same} == {name: usual[name] for name in same}


def test_workflow_and_hooks_call_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    entries = [hook["entry"] for repository in hooks["repos"] for hook in repository["hooks"]]
    called = {word for line in steps + entries for word in line.split()[1:] if "=" not in word}
    assert {"lint", "test-unit", "test-browser", "test-browsers"} <= called
    assert called <= targets
    assert len(workflow["jobs"]["unit"]["strategy"]["matrix"]["os"]) == 3
    assert len(workflow["jobs"]["unit"]["strategy"]["matrix"]["python"]) == 3


def commands_of(*arguments: str) -> list[str]:
    """What make would do."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("target", ["test-unit", "test-long"])
def test_windows_alone_leaves_out_the_simulated_gpu_and_says_so(target: str) -> None:
    """g++ or clang build it, for Linux and macOS: there it is never left out."""
    here, on_windows = (commands_of(f"OS={name}", target) for name in ("", "Windows_NT"))
    chosen = {"test-unit": '-m "simulated_gpu and not long"', "test-long": '-m "long"'}[target]
    assert any(chosen in line for line in here)
    assert not any(chosen in line for line in on_windows)
    assert len(on_windows) == len(here)
    left_out = {"test-unit": NOT_ON_WINDOWS, "test-long": '-m "long and not simulated_gpu"'}[target]
    assert left_out in on_windows[-1]
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text("utf-8")
        assert "MSVC" not in text
        assert re.search(r"Windows leaves out the tests\son the simulated GPU, and says so", text)


def test_the_issue_form_asks_for_version_device_and_log() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8"))
    assert {"what", "version", "system", "device", "log"} == {field["id"] for field in form["body"]}


def test_the_compose_file_starts_the_server_that_its_address_names() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    service = yaml.safe_load(text)["services"]["database"]
    made = service["environment"]
    url = re.search(r"DATABASE_URL=(\S+)", text)
    assert url is not None
    assert url[1] == f"postgresql+psycopg://{made['POSTGRES_USER']}:$POSTGRES_PASSWORD@127.0.0.1:5432/study"
    assert made["POSTGRES_DB"] == "study"
    assert service["ports"] == ["127.0.0.1:5432:5432"]  # other machines don't reach it


def test_the_proxy_of_study_pages_leads_to_the_processes_that_it_names() -> None:
    text = (DEPLOY / "study.nginx.conf").read_text("utf-8")
    first, second = (read_options(line.split()) for line in re.findall(r"python app\.py (.*)", text))
    upstreams = dict(re.findall(r"upstream (\w+) \{(.*?)\}", text, re.DOTALL))
    assert re.findall(r"127\.0\.0\.1:(\d+)", upstreams["study_apps"]) == [str(first.port), str(second.port)]
    assert re.findall(r"127\.0\.0\.1:(\d+)", upstreams["study_lab"]) == [str(first.port)]
    assert (first.study_only, second.study_only) == (False, True)
    assert first.public_name == second.public_name == ["study.example.org"]


def test_the_proxy_of_study_pages_lets_every_file_through_that_can_be_imported() -> None:
    text = (DEPLOY / "study.nginx.conf").read_text("utf-8")
    limit = re.search(r"client_max_body_size (\d+)m;", text)
    assert limit is not None
    assert int(limit[1]) * 2**20 >= PACKAGE_BYTES


def test_what_one_process_keeps_leads_to_that_process() -> None:
    text = (DEPLOY / "study.nginx.conf").read_text("utf-8")
    pinned = re.search(r"location ~ (\S+) \{\s*proxy_pass http://study_lab;", text)
    assert pinned is not None
    starting = ("start", "lab", "grid", "compare", "xray", "microscope", "projects")  # runs and measurements
    for path in (device_routes.PATH, "/act/settings", *(f"/act/{island}" for island in starting)):
        assert re.search(pinned[1], path), path
    for path in ("/class/123456", "/join"):
        assert re.search(pinned[1], path), path
    for path in ("/", "/settings", "/start", "/act/cards", "/act/memory", "/act/tasks", "/io/upload"):
        assert not re.search(pinned[1], path), path


def test_the_proxies_lead_to_workers_that_the_command_starts() -> None:
    for name in ("nginx.conf", "Caddyfile"):
        text = (DEPLOY / name).read_text("utf-8")
        assert f"127.0.0.1:{STUDENTS_PORT}" in text
        started = re.search(r"python -m classroom (serve .*)", text)
        led = re.search(r"python app\.py (.*)", text)
        assert started is not None
        assert led is not None
        options = _build_parser().parse_args(started[1].split())
        assert (options.host, options.port, options.public_name) == ("127.0.0.1", 7861, ["class.example.org"])
        assert read_options(led[1].split()).students_at.endswith("://class.example.org")
        # A stream is passed on as it comes.
        assert "proxy_buffering off;" in text or "flush_interval -1" in text


def test_every_package_that_the_app_imports_is_declared() -> None:
    files = (
        REQUIREMENTS,
        *((ROOT / f"requirements-{name}.txt").read_text("utf-8") for name in ("postgres", "ray")),
    )
    declared = {_normalize(name) for name in re.findall(r"^([\w-]+)[\[>]", "\n".join(files), re.MULTILINE)}
    sources = [ROOT / "app.py", *(path for part in PARTS for path in (ROOT / part).rglob("*.py"))]
    imports = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
    modules = {name for path in sources for name in imports.findall(path.read_text("utf-8"))}
    carriers = packages_distributions()
    for module in sorted(modules & set(carriers)):
        assert declared & {_normalize(name) for name in carriers[module]}, module


def _normalize(name: str) -> str:
    return name.lower().replace("_", "-")
