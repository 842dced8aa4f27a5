"""Runs and verifications as one HTML file each, complete in itself."""

from ntk1bit.reports.writing import write_report

__all__ = ["write_report"]
