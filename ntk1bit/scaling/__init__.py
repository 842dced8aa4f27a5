"""Fit and compare scaling laws: any table of losses in, parameters with intervals out. Knows nothing of networks."""

from ntk1bit.scaling.catalogue import HOFFMANN_STARTS
from ntk1bit.scaling.fitting import IdentificationWarning, fit
from ntk1bit.scaling.laws import POSITIVE, REAL, Law, Parameter, get_law, law_names, register
from ntk1bit.scaling.request import FitRequest
from ntk1bit.scaling.result import Fit

__all__ = [
    "HOFFMANN_STARTS",
    "POSITIVE",
    "REAL",
    "Fit",
    "FitRequest",
    "IdentificationWarning",
    "Law",
    "Parameter",
    "fit",
    "get_law",
    "law_names",
    "register",
]
