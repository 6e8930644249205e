"""Rows of an embedding or of a linear layer that are trained for single tokens.

PEFT 0.21's `trainable_token_indices`. A row of width d is copied and trained for each token: tokens x d
parameters. Tied layers share the rows.

Sources: peft/utils/other.py, set_additional_trainable_modules and _set_trainable, and
peft/tuners/trainable_tokens/layer.py.
"""

from collections.abc import Iterable, Iterator

from lora_lab.parameters.adapter_config import (
    AdapterSetting,
    Match,
    PeftRefusal,
    TrainedRows,
    UnsupportedCase,
)
from lora_lab.parameters.module_tree import ModuleGroup, ModuleTree
from lora_lab.parameters.name_selection import list_outer

Tokens = tuple[int, ...]

USUAL_EMBEDDINGS = ("embed_tokens", "word_embeddings", "wte", "shared")
"""Names of the embedding that reads tokens, beside which a model has others, such as of positions."""


def find_rows(tree: ModuleTree, setting: AdapterSetting, matches: Iterable[Match]) -> tuple[TrainedRows, ...]:
    """Find the rows that a setting trains beside the adapters of `matches`.

    Raises PeftRefusal where PEFT raises; UnsupportedCase where it isn't known which layer is meant.
    """
    if not setting.token_rows:
        return ()
    embedding = find_input_embedding(tree)
    wanted = {embedding if name is None else name: tokens for name, tokens in setting.token_rows}
    for name in wanted:
        if name in setting.saved:
            raise PeftRefusal(
                f"{name} is to be saved whole, and single rows of it trained.", do_next="Choose one of them."
            )
    adapted = {name for match in matches for name in match.modules}
    found: dict[str, TrainedRows] = {}
    for name, tokens in _leave_out_tied(tree, setting, wanted, embedding).items():
        for group, module in _list_modules(tree, name):
            _check(setting, group, module, tokens, adapted)
            width = group.d_out if group.kind == "embedding" else group.d_in
            found.setdefault(module, TrainedRows(name=module, rows=len(tokens), width=width))
    return tuple(found.values())


def find_input_embedding(tree: ModuleTree) -> str:
    """Find the embedding that reads the input: the one that the head is tied to or has the size of, or the
    only one of a usual name. Raises UnsupportedCase where that isn't known.
    """
    head = next((group for group in tree.groups if group.is_head), None)
    if head is not None and head.tied:
        return head.tied[0][0]
    found = [group for group in tree.groups if group.kind == "embedding" and group.own]
    if head is not None:
        found = [group for group in found if (group.d_in, group.d_out) == (head.d_out, head.d_in)]
    if len(found) > 1:
        found = [group for group in found if group.suffix in USUAL_EMBEDDINGS]
    if len(found) != 1 or found[0].count != 1:
        raise UnsupportedCase("which of this model's layers reads its tokens isn't known; name it")
    return found[0].names[0]


def _leave_out_tied(
    tree: ModuleTree, setting: AdapterSetting, wanted: dict[str, Tokens], embedding: str
) -> dict[str, Tokens]:
    """Leave out layers that are tied to the embedding and train the same tokens: they share its rows.

    Raises PeftRefusal where tied layers are to stay tied and train different tokens.
    """
    tied = {
        name
        for group in tree.groups
        if any(owner == embedding for owner, _ in group.tied)
        for name in group.names
    }
    if not tied or len(wanted) < 2:
        return wanted
    together = [
        name for name in wanted if embedding.endswith(name) or any(_means(name, each) for each in tied)
    ]
    if len(together) < 2:
        return wanted
    if len({wanted[name] for name in together}) > 1:
        if setting.ties_weights:
            raise PeftRefusal(
                f"{' and '.join(together)} are tied, and different tokens are given for them.",
                do_next="Give the same tokens, or leave ensure_weight_tying out.",
            )
        return wanted
    return {name: tokens for name, tokens in wanted.items() if name not in tied}


def _means(name: str, module: str) -> bool:
    return module.endswith(name) or name in module.split(".")


def _list_modules(tree: ModuleTree, ending: str) -> Iterator[tuple[ModuleGroup, str]]:
    """Yield the modules whose name ends so, within a part too. Raises PeftRefusal where there is none."""
    found = [(group, name) for group in tree.groups for name in group.names if name.endswith(ending)]
    if not found:
        raise PeftRefusal(
            f"No layer of this model is named {ending}.",
            do_next="Name one that reads or writes tokens, such as embed_tokens or lm_head.",
        )
    yield from found


def _check(
    setting: AdapterSetting, group: ModuleGroup, module: str, tokens: Tokens, adapted: Iterable[str]
) -> None:
    if group.kind not in ("embedding", "linear"):
        raise PeftRefusal(
            f"{module} is neither an embedding nor a linear layer, which have a row for each token.",
            do_next="Name one of those.",
        )
    if group.is_alias:
        raise UnsupportedCase(f"{module} is a second name of another module")
    if module in adapted:
        raise PeftRefusal(
            f"{module} has an adapter, and single rows of it are to be trained.",
            do_next="Choose one of them.",
        )
    outer = next((each for each in setting.saved if _is_inside(module, each)), None)
    if outer is not None:
        raise UnsupportedCase(f"{outer} is to be saved whole, and rows of {module} inside it trained")
    rows = group.d_in if group.kind == "embedding" else group.d_out
    wrong = next((token for token in tokens if not -rows <= token < rows), None)
    if wrong is not None:
        raise PeftRefusal(
            f"{module} has {rows:,} rows, and none for {wrong:,}.", do_next="Correct the number."
        )


def _is_inside(module: str, saved: str) -> bool:
    """Return whether a module is a part of one that is saved whole, by the end of that one's name."""
    return any(each.endswith(saved) for each in list_outer(module))
