"""How much SQL the Lab page takes each second while a run trains."""

from lora_lab.lab import Lab
from study.store.database import share_view
from tests.lora_lab import run_builders
from tests.lora_lab.pages.lab_visits import Visitor


def test_a_poll_takes_four_statements_in_one_transaction(
    ana: Visitor, lab: Lab, statements: list[str]
) -> None:
    run = run_builders.training(lab.settings.runs_dir)
    ana.opens(f"/lab?run={run.run_id}")
    with share_view():
        ana.sends("poll")
    for number in range(4, 7):
        run_builders.emit_step(run, number)
        statements.clear()
        with share_view():
            assert "stage" in ana.sends("poll")["parts"]
        assert len(statements) <= 4, statements
        assert sum(each.startswith("BEGIN") for each in statements) == 1
