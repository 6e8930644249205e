"""What the first visitor after a start would wait for is done while nobody waits."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import gradio as gr
import pytest

from lora_lab.data import datasets
from study.base.settings import Settings
from study.content.training_pairs import read_training_pairs
from study.web import page_files
from study.web.gradio_script import FIRST_FILES
from tests.waiting import wait_for
from tests.whole_app import whole_app

HERE = [name for name in FIRST_FILES if (page_files.GRADIO_FILES / name).is_file()]
"""Those of the installed Gradio: all of the one that the list was made for."""


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What is compressed in this test."""
    found: dict[str, bytes] = {}
    monkeypatch.setattr(page_files, "_compressed", found)
    return found


def test_every_file_of_a_first_page_is_one_of_the_gradio_that_the_list_was_made_for() -> None:
    assert len(HERE) == len(FIRST_FILES) or gr.__version__ != "6.31.0"


def test_files_and_the_newcomers_page_are_ready_before_a_visitor_comes(
    settings: Settings, compressed: dict[str, bytes]
) -> None:
    datasets._read_own_dataset.cache_clear()
    with whole_app(settings) as app:
        assert compressed == {}
        app.site.state.prepare()
        assert {*HERE} <= compressed.keys()
        assert datasets._read_own_dataset.cache_info().currsize == 1
        before = dict(compressed)
        for name in HERE:
            answer = app.client().get(f"/assets/{name}", headers={"accept-encoding": "br"})
            assert answer.headers["content-encoding"] == "br"
        assert compressed == before


def test_the_first_page_loads_no_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from study.base.settings import load_settings\n"
        "from study.web.serving.server import set_gradio_environment\n"
        f"set_gradio_environment(load_settings(home=Path({str(tmp_path)!r})))\n"
        "import gradio.utils\n"
        "with gradio.utils.MatplotlibBackendMananger(): pass\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"},
    )
    assert done.stdout == "True False\n", done.stderr


def test_who_asks_for_a_file_that_is_being_compressed_waits_for_it(
    compressed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_end = [], threading.Event()

    def compress(content: bytes, **_: object) -> bytes:
        asked.append(content)
        may_end.wait(10)
        return content

    monkeypatch.setattr("study.web.page_files.brotli.compress", compress)
    threads = [
        threading.Thread(target=page_files._compress, args=("a.js", lambda: b"a script")) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(asked), lambda count: count == 1, seconds=10)
    may_end.set()
    for thread in threads:
        thread.join()
    assert asked == [b"a script"]
    assert compressed == {"a.js": b"a script"}


def test_the_data_set_is_read_once_by_two_who_need_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, may_end = [], threading.Event()

    def count() -> object:
        reads.append(threading.current_thread())
        may_end.wait(0.2)
        return read_training_pairs()

    datasets._read_own_dataset.cache_clear()
    monkeypatch.setattr(datasets, "read_training_pairs", count)
    threads = [threading.Thread(target=datasets.build_own_dataset) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1
