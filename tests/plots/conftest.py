import pytest

from ..scaling.conftest import chinchilla, floored, runs, widths

__all__ = ["chinchilla", "floored", "runs", "widths"]


@pytest.fixture
def figure_of(monkeypatch, tmp_path):
    """Return a function that lets a module draw a table into a file, and returns the figure itself."""

    def drawn(module, draw, frame, **asked):
        kept = []
        real_write = module.write_figure

        def write(figure, path):
            kept.append(figure)
            return real_write(figure, path)

        with monkeypatch.context() as patched:
            patched.setattr(module, "write_figure", write)
            assert draw(frame, tmp_path / "seen.svg", **asked).stat().st_size > 1000
        return kept[-1]

    return drawn
