"""Runs that train through one frozen base: several side by side, or one, which is a group of one.

Every run keeps its own folder and its own events, in the form of a run that is alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from lora_lab.data import datasets
from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.memory import ledger
from lora_lab.memory.group_memory import CellBytes, compute_cell_bytes, peak_bytes
from lora_lab.runs import grouping
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec
from lora_lab.worker.device.gpu import free_bytes, list_memory_figures
from lora_lab.worker.training.adapter_stack import CellAdapter
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import train_group
from lora_lab.worker.training.loaded_model import BaseResults, LoadedModel
from lora_lab.worker.training.loop import EVALUATION_BATCH, NonFiniteLoss
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.packing import Encoded, cut_to, encode_example
from lora_lab.worker.training.time_limit import TimeLimit
from lora_lab.worker.training.tokenize import keep_read
from lora_lab.worker.training.work import (
    ASKING_BOTH,
    ASKING_TUNED,
    HELD_OUT,
    PREPARING,
    UNMEASURED,
    WITH_ADAPTER,
    WITHOUT_ADAPTER,
    MeasuringStopped,
    Work,
    build_announcement,
    describe_failure,
    execute_with_graph,
    find_or_read_shape,
    list_row_sizes,
    say_measured,
    say_waiting,
    select_asked,
    write_samples,
)
from study.base.model_files import Progress


class GroupedRuns:
    """Runs that share one frozen base, in groups that fit into memory."""

    def __init__(self, runs: Sequence[RunFolder], home: LabHome, app_is_gone: Callable[[], bool]) -> None:
        # Cells of one seed have the same batches, and neighbours with the same batches attend together.
        by_seed = sorted(runs, key=lambda run: run.spec.seed)
        self._works = [Work(run, run.spec, home, app_is_gone) for run in by_seed]
        self._home, self._app_is_gone = home, app_is_gone
        self._well = True

    def execute(self, cache: ModelCache) -> bool:
        """Do the runs. An error in one run ends that run; in a chunk, those of it that still train."""
        try:
            self._do([work for work in self._works if not work.end_early()], cache)
        except Exception as error:  # before the first chunk: none of them can be trained
            self._fail_together(self._works, error)
            cache.clear()
        return self._well

    def _do(self, works: Sequence[Work], cache: ModelCache) -> None:
        if not works:
            return
        spec = works[0].spec
        self._tell(works, PREPARING)
        dataset = datasets.load_saved(works[0].run.path)
        material = Material(cache.lend(spec, partial(self._report, works)), dataset, self._home, spec)
        chunks = material.split_chunks(works)
        for later in chunks[1:]:
            for work in later:
                say_waiting(work.run)
        for chunk in chunks:
            try:
                self._do_chunk([work for work in chunk if not work.end_early()], material, cache)
            except Exception as error:  # most likely memory: a smaller chunk may still fit
                self._fail_together(chunk, error)
            else:
                continue
            cache.clear()  # not above, where the error still holds what was computed

    def _do_chunk(self, chunk: Sequence[Work], material: "Material", cache: ModelCache) -> None:
        if not chunk:
            return
        self._tell(chunk, PREPARING)
        loaded = cache.lend(chunk[0].spec, partial(self._report, chunk))
        if not self._train_side_by_side(loaded, cache, chunk, material):
            for work in chunk[1:]:
                say_waiting(work.run)
            for work in chunk:
                self._train_alone(work, cache)

    def _train_side_by_side(
        self, loaded: LoadedModel, cache: ModelCache, chunk: Sequence[Work], material: "Material"
    ) -> bool:
        """Train a chunk side by side; return whether this model's layer is the one written out here."""
        group = AdapterGroup(loaded, [work.spec for work in chunk], material.shape)
        agrees = group.agrees_with_library(material.examples)
        if agrees:
            self._train(group, chunk, material)
        cache.take_back(group.model)
        return agrees

    def _train_alone(self, work: Work, cache: ModelCache) -> None:
        work.ended = True  # `execute_with_graph` writes the terminal event
        self._well &= execute_with_graph(work.run, self._home, cache, app_is_gone=self._app_is_gone)

    def _train(self, group: AdapterGroup, chunk: Sequence[Work], material: "Material") -> None:
        work_of = dict(zip(group.cells, chunk, strict=True))
        alone = len(chunk) == 1
        together: dict[str, Any] = {}
        if not alone:
            together = {"shared_by": len(chunk), "group_predicted_bytes": material.predicted_bytes(chunk)}
        for cell, work in work_of.items():
            work.writer = partial(group.save, cell)
            work.run.emit(
                "started", trainable=cell.flat.numel(), **together, **material.build_announcement(work)
            )
        finished = train_group(
            group,
            material.examples,
            on_step=lambda cell, step: work_of[cell].on_step(step.alone if alone else step),
            should_stop=lambda cell: work_of[cell].should_stop(),
            on_end=lambda cell, error: self._leave(group, cell, work_of[cell], material, error),
        )
        for cell in finished:
            work_of[cell].save(work_of[cell].step)
        self._finish(group, {cell: work_of[cell] for cell in finished}, material)
        for work in chunk:
            work.release_model()

    def _leave(
        self,
        group: AdapterGroup,
        cell: CellAdapter,
        work: Work,
        material: "Material",
        error: NonFiniteLoss | None,
    ) -> None:
        """End one cell before the others."""
        if error is not None:
            self._fail(work, error)
            return
        work.save(work.step)
        if self._app_is_gone():
            work.end_cut_off()
        elif not work.end_early():
            self._finish(group, {cell: work}, material)

    def _finish(self, group: AdapterGroup, works: dict[CellAdapter, Work], material: "Material") -> None:
        """Compare with the base and ask both models, for several cells at once."""
        if not works:
            return
        on_gpu = group.memory_on_gpu if len(group.cells) == 1 else None
        if on_gpu is not None:
            (work,) = works.values()
            work.run.emit("gpu_memory", **list_memory_figures(on_gpu, material.machine.device))
        try:
            self._measure(group, works, material)
        except MeasuringStopped:
            for work in works.values():
                work.end("stopped", what=UNMEASURED)

    def _measure(self, group: AdapterGroup, works: dict[CellAdapter, Work], material: "Material") -> None:
        cells, of = list(works), len(material.held_out)

        def go_on(text: str) -> None:
            if all(work.stops_measuring() for work in works.values()):
                raise MeasuringStopped
            self._tell(works.values(), text)

        def note_measured(whose: str) -> Callable[[int], None]:
            return lambda done: go_on(say_measured(whose, done, of))

        limit = next(iter(works.values())).limit if len(works) == 1 else None
        done = of
        if limit is None:
            note_measured(WITHOUT_ADAPTER)(0)
            before = material.compute_base_loss(group, note_measured(WITHOUT_ADAPTER))
            losses = group.compute_held_out_losses(cells, material.held_out, note_measured(WITH_ADAPTER))
        else:
            before, after, done = _measure_within(limit, group, cells[0], material, go_on)
            losses = [after]
        for work, after in zip(works.values(), losses, strict=True):
            work.run.emit("evaluated", loss_before=before, loss_after=after, examples=done)
        if limit is not None and limit.is_over:
            for work in works.values():
                work.end_measured(done, of, answered=False)
            return
        go_on(ASKING_TUNED if material.knows_base_answers else ASKING_BOTH)
        base, answers = material.generate_answers(group, cells)
        for work, tuned in zip(works.values(), answers, strict=True):
            write_samples(work.run, material.asked, base, tuned)
            work.end_measured(done, of, answered=True)

    def _fail(self, work: Work, error: Exception) -> None:
        work.end("failed", **asdict(describe_failure(error, work)))
        self._well = False

    def _fail_together(self, works: Sequence[Work], error: Exception) -> None:
        for work in works:
            if not work.ended:
                self._fail(work, error)
            work.release_model()

    def _report(self, works: Iterable[Work], progress: Progress) -> None:
        for work in works:
            work.report(progress)

    def _tell(self, works: Iterable[Work], text: str) -> None:
        self._report(works, Progress(step=text))


def _measure_within(
    limit: TimeLimit,
    group: AdapterGroup,
    cell: CellAdapter,
    material: "Material",
    go_on: Callable[[str], None],
) -> tuple[float, float, int]:
    """Measure both models on the same held-out examples, as many as the time allows.

    Returns the mean loss without and with the adapter, and the number of examples.
    """
    of, done, answers, before, after = len(material.held_out), 0, 0, 0.0, 0.0
    while done < of and not limit.ends_measuring(done):
        go_on(f"Measuring the held-out loss of both models: {done} of {of} examples")
        part = material.held_out[done : done + EVALUATION_BATCH]
        tokens = sum(example.answer_tokens for example in part)
        before += tokens * material.compute_base_loss_of_part(group, done, part)
        after += tokens * group.compute_held_out_losses([cell], part)[0]
        answers += tokens
        done += len(part)
    return before / answers, after / answers, done


class Material:
    """What all cells share: the data, and the base model's loss and answers."""

    def __init__(self, loaded: LoadedModel, dataset: Dataset, home: LabHome, spec: RunSpec) -> None:
        self.machine = loaded.machine
        self.shape = find_or_read_shape(spec.model, home)
        self._everything = [encode_example(loaded.tokenizer, example) for example in dataset.train]
        keep_read(home, spec.model, dataset, loaded.tokenizer, self._everything)
        self.examples = cut_to(self._everything, spec.seq_len_tokens)
        held_out = [encode_example(loaded.tokenizer, example) for example in dataset.held_out]
        self.held_out = cut_to(held_out, spec.seq_len_tokens, part=HELD_OUT)
        self.asked = select_asked(dataset.held_out, held_out, positions=loaded.positions)
        self.prompts = [example.prompt for example in self.asked]
        asked = BaseResults(held_out=tuple(self.held_out), prompts=tuple(self.prompts))
        known = loaded.base_results
        if (known.held_out, known.prompts) != (asked.held_out, asked.prompts):
            loaded.base_results = known = asked
        self._base = known

    def compute_base_loss(self, group: AdapterGroup, on_batch: Callable[[int], None]) -> float:
        """Compute the held-out loss of the base model, once per loaded model and data."""
        if self._base.loss is None:
            self._base.loss = group.compute_base_loss(self.held_out, on_batch)
        return self._base.loss

    def compute_base_loss_of_part(self, group: AdapterGroup, start: int, part: Sequence[Encoded]) -> float:
        """Compute the same for some of the held-out examples, from the one at `start` on."""
        if start not in self._base.losses:
            self._base.losses[start] = group.compute_base_loss(part)
        return self._base.losses[start]

    @property
    def knows_base_answers(self) -> bool:
        """Whether this loaded model has been asked without an adapter, about this data."""
        return self._base.answers is not None

    def generate_answers(
        self, group: AdapterGroup, cells: Sequence[CellAdapter]
    ) -> tuple[list[str], list[list[str]]]:
        """Generate the base model's answers, once per loaded model and data, and each cell's."""
        if self._base.answers is not None:
            return self._base.answers, group.generate_answers(cells, self.prompts)
        self._base.answers, *tuned = group.generate_answers([None, *cells], self.prompts)
        return self._base.answers, tuned

    def build_announcement(self, work: Work) -> dict[str, Any]:
        """Build a run's `started` event as if it were alone."""
        return build_announcement(work.spec, self.shape, self._everything, self.examples, self.machine)

    def predicted_bytes(self, works: Sequence[Work]) -> int:
        """Estimate the peak of these runs side by side."""
        cells = [(work.spec, list_row_sizes(work.spec, self._everything, self.machine)) for work in works]
        return peak_bytes(self.shape, cells, self.machine.compute_name)

    def split_chunks(self, works: Sequence[Work]) -> list[list[Work]]:
        """Split the runs into chunks that fit into the free memory side by side."""
        found = grouping.split_chunks(
            [self._compute_bytes(work) for work in works], free_bytes=free_bytes(self.machine.device)
        )
        return [[works[place] for place in places] for places in found]

    def _compute_bytes(self, work: Work) -> CellBytes:
        compute, rows = self.machine.compute_name, list_row_sizes(work.spec, self._everything, self.machine)
        row = ledger.find_heaviest_row(self.shape, work.spec, rows, compute)
        # Not counted where cells are stacked: their x Aᵀ, as wide as all ranks together, and its mask, up to
        # 13 % of a stack. A fifth of the memory is kept free for them.
        return compute_cell_bytes(self.shape, [(work.spec, row)], compute)
