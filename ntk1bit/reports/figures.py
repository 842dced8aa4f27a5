"""Figures inside a page, as data URIs."""

from __future__ import annotations

import base64
import io

from matplotlib.figure import Figure

from ntk1bit.plots.looks import drawing, paper

LARGEST_SVG = 300_000  # bytes; a figure with more in it is smaller, and faster to show, as pixels
DPI = 150


def data_uri(figure: Figure) -> str:
    """Return a figure as a data URI: SVG with its letters as shapes, or PNG if that would be large.

    The same figure gives the same bytes: no date is stored, and ids inside an SVG do not change from run to run.
    """
    with drawing(paper() | {"svg.fonttype": "path", "svg.hashsalt": "ntk1bit"}):
        vector = io.BytesIO()
        figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
        if vector.tell() <= LARGEST_SVG:
            return _uri("image/svg+xml", vector.getvalue())
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=DPI, metadata={"Software": None})
        return _uri("image/png", pixels.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
