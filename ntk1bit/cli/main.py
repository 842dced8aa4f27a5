"""The `ntk1bit` program: its commands, and how its errors are reported.

Whatever a user gets wrong ends in one line on stderr and exit code 2. Commands import the packages they need inside
their bodies, so that `ntk1bit --help` answers at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ntk1bit import __version__
from ntk1bit.cli.bench import bench
from ntk1bit.cli.deep import deep
from ntk1bit.cli.doctor import doctor
from ntk1bit.cli.energy import energy
from ntk1bit.cli.environment import check_environment
from ntk1bit.cli.fit import fit
from ntk1bit.cli.generate import generate
from ntk1bit.cli.import_model import import_model
from ntk1bit.cli.interrupts import interruptible
from ntk1bit.cli.measures import measures
from ntk1bit.cli.ntk import ntk
from ntk1bit.cli.old_spellings import refuse_old_spellings
from ntk1bit.cli.options import fill_in_defaults
from ntk1bit.cli.plan import plan
from ntk1bit.cli.plot import plot
from ntk1bit.cli.report import report
from ntk1bit.cli.summary import summary
from ntk1bit.cli.sweep import sweep
from ntk1bit.cli.train_lm import train_lm
from ntk1bit.cli.verify import verify
from ntk1bit.errors import InputError
from ntk1bit.streams import standard_streams

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="ntk1bit",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (
    sweep, plan, summary, plot, report, fit, ntk, verify, measures, train_lm, generate, import_model, deep, energy,
    bench, doctor,
):  # fmt: skip
    # the first line of the docstring, whole: typer would cut it at the width of a line and at the first full stop
    name = "import" if command is import_model else None  # no function may be called so
    app.command(name, short_help=(command.__doc__ or "").partition("\n")[0])(command)


@app.callback(invoke_without_command=True)
def ntk1bit(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Check claims about 1-bit networks with numbers that can fail.

    D25 is Daliri, Song and Yang 2025, "Unlocking the Theory Behind Scaling 1-Bit Neural Networks"; W23 is Wang et al.
    2023, "BitNet". In options and tables n is the number of training points, d their dimension, m the width (number of
    hidden neurons), N a number of parameters, kappa the output scale, and eta_rel the learning rate in units of
    1/lambda_max(H(0)), with H(0) the neural tangent kernel at initialisation.

    Example: ntk1bit sweep --widths 64..1024 --out runs/first && ntk1bit summary runs/first
    """
    if version:
        print(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 done, 1 some networks failed, 2 a user's mistake, 130 interrupted."""
    with standard_streams() as output, interruptible():
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        if code not in (USER_ERROR, INTERRUPTED) and (lost := output.lost()) is not None:
            code = _fail(lost)
        sys.exit(code)


def _run(words: list[str]) -> int:
    code: object = 0
    try:
        refuse_old_spellings(words)
        program = typer.main.get_group(app)
        if {"-h", "--help"} & set(words) and words[0] in program.commands:
            fill_in_defaults(words[0], program.commands[words[0]].params)
        elif words and words[0] in program.commands:
            check_environment(words)
        code = program(args=words or ["--help"], prog_name="ntk1bit", standalone_mode=False)
    except (typer.TyperException, InputError) as problem:
        message = problem.format_message() if isinstance(problem, typer.TyperException) else str(problem)
        return _fail(message)
    except ImportError as problem:
        return _fail(f"a library cannot be loaded ({problem.__cause__ or problem}); is the memory enough?")
    except MemoryError:
        return _fail("the memory that is left is not enough; free some, or ask for less")
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        return _fail(f"{where}{problem.strerror or problem}")
    except RuntimeError as problem:
        if "start new thread" not in str(problem):
            raise
        return _fail("the system allows no more threads or processes (ulimit -u); end others, or raise the limit")
    except (KeyboardInterrupt, typer.Abort):
        print("ntk1bit: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    """Tell a mistake on one line; words longer than any path are cut."""
    from ntk1bit.printing import plain  # brings NumPy, which --help should not wait for

    words = re.sub(r"\S{400,}", lambda word: word[0][:200] + "...", " ".join(message.split()))
    print(plain(f"ntk1bit: {words}"), file=sys.stderr)
    return USER_ERROR
