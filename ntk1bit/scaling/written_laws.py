"""Laws given as a formula alone, as in `ntk1bit fit losses.csv --law 'E + A*N^-alpha'`.

A formula says which names there are; what a law needs beside it, ranges and starts of its parameters, is read off the
places where they stand: an exponent of a variable is a real number, a term of its own is a floor, a factor of a term an
amplitude, and so on. `laws.Law` declares all of this by hand, which serves a formula with several valleys better.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from ntk1bit.errors import InputError
from ntk1bit.scaling.formula import Call, Constant, Expression, Name, names, parse, parts, written
from ntk1bit.scaling.laws import POSITIVE, REAL, Law, Parameter, get_law, law_names

VARIABLES = ("x", "N", "D", "C")  # what a formula may call its variables, whatever the columns are called
_RESERVED = ("loss", "loss_min", "loss_max")  # names of the data in formulas of starts
_MOST_STARTS = 2000
_FALLING = (0.1, 0.25, 0.5, 1.0, 2.0)
_EITHER = (-1.0, -0.5, -0.25, -0.1, 0.25, 1.0)
_SHARES = (0.1, 0.5, 1.0)

Starts = tuple[float | str, ...]


def read_law(law: str | Law, columns: Collection[str] = ()) -> Law:
    """Return a law: itself, one known by name, or one written as a formula.

    Parameters
    ----------
    law
        A `Law`, a name from `law_names()`, or a formula such as ``E + A*N^-alpha``, which has an operation in it.
    columns
        Columns of a table: names in a formula that are one of these are its variables too, beside x, N, D and C.

    Raises
    ------
    InputError
        For a name that no law has, and a formula that cannot be read or has no variable or parameter.
    """
    if isinstance(law, Law):
        return law
    name = law.strip()
    if name in law_names() or not set("*/^() ") & set(name):
        return get_law(name)
    return law_from_formula(name, (*VARIABLES, *columns))


def law_from_formula(formula: str, variables: Collection[str] = VARIABLES) -> Law:
    """Make a law of a formula; names that are no variables are its parameters.

    Exponents of variables may have either sign; all other parameters are positive.

    Parameters
    ----------
    formula
        See `formula.parse`; ``^`` may stand for ``**``.
    variables
        Names that are variables where the formula has them.

    Raises
    ------
    InputError
        If the formula cannot be read, or has no variable or no parameter.
    """
    tree = parse(formula)
    used = list(dict.fromkeys(names(tree)))
    own = tuple(name for name in used if name in variables)
    free = [name for name in used if name not in variables]
    if not own:
        raise InputError(
            f"the formula {formula!r} has no variable; call them {', '.join(VARIABLES)} or as columns of the table"
        )
    if not free:
        raise InputError(f"the formula {formula!r} has no parameter to fit; give it one, as in 'A * {own[0]}^-alpha'")
    if taken := [name for name in free if name in _RESERVED]:
        raise InputError(
            f"the formula {formula!r} has a parameter named {taken[0]!r}, which is what the loss is called; rename it"
        )
    parameters = [
        _exponent(tree, name, own) or _of_either_sign(tree, name) or _floor(tree, name) or _inner(tree, name, own)
        for name in free
    ]
    numeric = {each.name for each in parameters if not any(isinstance(start, str) for start in each.starts)}
    known = {*own, *numeric}
    made = [
        (each.bounds == POSITIVE and each.role != "floor" and _amplitude(tree, each.name, known)) or each
        for each in parameters
    ]
    return Law(formula, formula, own, tuple(_thinned(made)), reference="as given")


def _terms(tree: Expression) -> Iterator[Expression]:
    """Yield what is added up, or chosen from by max and min, at the top of a formula."""
    if isinstance(tree, Call) and tree.operation in ("+", "-", "max", "min"):
        for argument in tree.arguments:
            yield from _terms(argument)
    else:
        yield tree


def _calls(tree: Expression) -> Iterator[Call]:
    return (part for part in parts(tree) if isinstance(part, Call))


def _exponent(tree: Expression, name: str, variables: Collection[str]) -> Parameter | None:
    """Return the parameter as an exponent, if it stands in the power of something that has a variable."""
    for call in _calls(tree):
        if call.operation == "**" and name in names(call.arguments[1]):
            base = [each for each in names(call.arguments[0]) if each in variables]
            if base:
                falling = any(isinstance(part, Constant) and part.value < 0 for part in parts(call.arguments[1]))
                return Parameter(name, _FALLING if falling else _EITHER, REAL, role="exponent", of=base[0])
        if call.operation == "exp":  # exp(a + b*log(N)) is a power of N
            for product in _calls(call):
                logs = [each for each in product.arguments if isinstance(each, Call) and each.operation == "log"]
                base = [each for log in logs for each in names(log) if each in variables]
                if product.operation == "*" and base and name in names(product) and name not in names(logs[0]):
                    return Parameter(name, _EITHER, REAL, role="exponent", of=base[0])
    return None


def _of_either_sign(tree: Expression, name: str) -> Parameter | None:
    """Return the parameter as a real number, if it is a logarithm: a term in exp."""
    for call in _calls(tree):
        if call.operation == "exp" and Name(name) in list(_terms(call.arguments[0])):
            return Parameter(name, (-3.0, 0.0, 3.0), REAL)
    return None


def _floor(tree: Expression, name: str) -> Parameter | None:
    """Return the parameter as a floor, if it is a term of the loss of its own."""
    alone = Name(name) in list(_terms(tree)) and tree != Name(name)
    starts: Starts = tuple(f"{share}*loss_min" for share in (0.1, 0.5, 0.9))
    return Parameter(name, starts, POSITIVE, role="floor", unit="loss") if alone else None


def _amplitude(tree: Expression, name: str, known: Collection[str]) -> Parameter | None:
    """Return the parameter as an amplitude, if it is a factor of a term: starts give the term a share of the loss."""
    terms = list(_terms(tree))
    for term in terms:
        rest = _without(term, name)
        if rest is None or name in names(rest):
            continue
        over = f"/{written(rest)}" if set(names(rest)) <= set(known) else ""
        starts: Starts = tuple(f"{share}*loss{over}" for share in (_SHARES if len(terms) > 1 else (1.0,)))
        return Parameter(name, starts, POSITIVE, role="amplitude")
    return None


def _without(term: Expression, factor: str) -> Expression | None:
    """Return a product without one of its factors; None if that is none of them."""
    if term == Name(factor):
        return Constant(1.0)
    if isinstance(term, Call) and term.operation in ("*", "/"):
        first, second = term.arguments
        rest = _without(first, factor)
        if rest is not None:
            return Call(term.operation, (rest, second))
        rest = _without(second, factor) if term.operation == "*" else None
        return None if rest is None else Call("*", (first, rest))
    return None


def _inner(tree: Expression, name: str, variables: Collection[str]) -> Parameter:
    """Return a parameter that stands elsewhere: of the size of a variable that it multiplies or divides, or near 1."""
    for call in _calls(tree):
        if call.operation not in ("*", "/"):
            continue
        sides = [list(names(part)) for part in call.arguments]
        for mine, other in (sides, reversed(sides)):
            beside = next((each for each in other if each in variables), None)
            if name in mine and beside is not None:
                if call.operation == "/":
                    starts: Starts = (beside, f"{beside}_min", f"{beside}_max")
                    return Parameter(name, starts, POSITIVE, role="scale", unit=f"of {beside}")
                rates: Starts = (f"0.3/{beside}", f"3/{beside}", f"1/{beside}_max")
                return Parameter(name, rates, POSITIVE, role="rate", unit=f"per unit of {beside}")
    return Parameter(name, (0.1, 1.0, 10.0), POSITIVE)


def _thinned(parameters: list[Parameter]) -> list[Parameter]:
    """Leave out starts of the parameters that have most, until their grid is of a size that takes no minute."""
    starts = [each.starts for each in parameters]
    while math.prod(map(len, starts)) > _MOST_STARTS and max(map(len, starts)) > 1:
        longest = max(range(len(starts)), key=lambda i: len(starts[i]))
        starts[longest] = starts[longest][::2]
    return [
        Parameter(each.name, chosen, each.bounds, each.role, each.of, each.unit)
        for each, chosen in zip(parameters, starts, strict=True)
    ]
