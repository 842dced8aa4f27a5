"""Fit and compare scaling laws: any table of losses in, parameters with intervals out. Knows nothing of networks."""

from ntk1bit.scaling.allocation import Frontier, disagreement
from ntk1bit.scaling.analysis import analyse
from ntk1bit.scaling.catalogue import HOFFMANN_STARTS
from ntk1bit.scaling.comparison import compare_laws, fit_groups, parameter_differences
from ntk1bit.scaling.extrapolation import extrapolate, extrapolation_error
from ntk1bit.scaling.fitting import IdentificationWarning, fit
from ntk1bit.scaling.frontier import envelope_frontier, isoflop_frontier, parametric_frontier
from ntk1bit.scaling.laws import POSITIVE, REAL, Law, Parameter, get_law, law_names, register
from ntk1bit.scaling.outcome import ParameterInterval
from ntk1bit.scaling.proposal import Proposal, propose
from ntk1bit.scaling.report import Report
from ntk1bit.scaling.request import FitRequest
from ntk1bit.scaling.result import Fit
from ntk1bit.scaling.written_laws import law_from_formula

__all__ = [
    "HOFFMANN_STARTS",
    "POSITIVE",
    "REAL",
    "Fit",
    "FitRequest",
    "Frontier",
    "IdentificationWarning",
    "Law",
    "Parameter",
    "ParameterInterval",
    "Proposal",
    "Report",
    "analyse",
    "compare_laws",
    "disagreement",
    "envelope_frontier",
    "extrapolate",
    "extrapolation_error",
    "fit",
    "fit_groups",
    "get_law",
    "isoflop_frontier",
    "law_from_formula",
    "law_names",
    "parameter_differences",
    "parametric_frontier",
    "propose",
    "register",
]
