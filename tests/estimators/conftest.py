from ..scaling.conftest import sweep

__all__ = ["sweep"]
