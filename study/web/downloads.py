"""Answers that a browser saves as a file: pictures and tables of a plot, or what was missing."""

from fastapi.responses import PlainTextResponse, Response

from study.base.spreadsheets import BOM
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot

MEDIA = {"png": "image/png", "svg": "image/svg+xml"}


def plot_response(plot: Plot, ending: str, name: str) -> Response:
    match ending:
        case "png" | "svg":
            return answer_with_file(
                render_plot(plot, ending, on_page=False), MEDIA[ending], f"{name}.{ending}"
            )
        case "csv":
            return answer_with_table(to_csv(plot), name)
    return answer_not_found(f"Plots come as png, svg and csv, not as {ending}.")


def answer_with_table(text: str, name: str) -> Response:
    """A table that a spreadsheet opens."""
    return answer_with_file((BOM + text).encode(), "text/csv; charset=utf-8", f"{name}.csv")


def answer_with_file(content: bytes, media: str, name: str) -> Response:
    return Response(content, media_type=media, headers=build_attachment_headers(name))


def build_attachment_headers(name: str) -> dict[str, str]:
    """What makes a browser save an answer, and ask again the next time."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


def answer_not_found(text: str) -> Response:
    """A sentence for a person, and status 404."""
    return PlainTextResponse(text, status_code=404)
