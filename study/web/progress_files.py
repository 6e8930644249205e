"""The charts of Progress as files: PNG, SVG and CSV of the learner whose browser asks."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.responses import Response

from study.base.errors import LearnerError
from study.ports.context import Context
from study.ports.progress import Section
from study.web import frame
from study.web.downloads import answer_not_found, plot_response


def register(site: FastAPI, context: Context, sections: Sequence[Section]) -> None:
    def answer(name: str, ending: str, request: Request) -> Response:
        try:
            visitor = frame.open_visit(context, request)
        except LearnerError as error:
            return answer_not_found(str(error))
        found = (plot for part in sections for plot in part.build_charts(visitor) if plot.name == name)
        plot = next(found, None)
        if plot is None:
            return answer_not_found(f"There is no chart named {name} yet.")
        return plot_response(plot, ending, f"{name}-{visitor.now:%Y-%m-%d}")

    site.get("/progress/plots/{name}.{ending}")(answer)
