"""Answers that a browser saves as a file: pictures and tables of a plot, or what was missing."""

from fastapi.responses import PlainTextResponse, Response

from study.base.spreadsheets import BOM
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot

MEDIA = {"png": "image/png", "svg": "image/svg+xml"}


def plot_response(plot: Plot, ending: str, name: str) -> Response:
    match ending:
        case "png" | "svg":
            return file_response(render_plot(plot, ending, on_page=False), MEDIA[ending], f"{name}.{ending}")
        case "csv":
            return table_response(to_csv(plot), name)
    return not_found(f"Plots come as png, svg and csv, not as {ending}.")


def table_response(text: str, name: str) -> Response:
    """A table that a spreadsheet opens."""
    return file_response((BOM + text).encode(), "text/csv; charset=utf-8", f"{name}.csv")


def file_response(content: bytes, media: str, name: str) -> Response:
    return Response(content, media_type=media, headers=attachment_headers(name))


def attachment_headers(name: str) -> dict[str, str]:
    """What makes a browser save an answer, and ask again the next time."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


def not_found(text: str) -> Response:
    """A sentence for a person, and status 404."""
    return PlainTextResponse(text, status_code=404)
