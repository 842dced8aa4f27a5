r"""Predict the next outputs of a network from its kernel at the start, then train it, and hold one against the other.

Full-batch gradient descent on a loss L summed over inputs, with g_t the gradient of L by the outputs f_t (for
``"squared"`` f_t - y) and K_t the kernel at step t, straight-through where weights are quantised:

    linearised        p_{t+1} = p_t - eta K_0 g(p_t),        p_0 = f_0     predicted before any training
    re-formed         q_{t+1} = q_t - eta K_t g_t,           q_0 = f_0     along the training, whose f_t, K_t it is told
    trained           theta_{t+1} = theta_t - eta dL/dtheta, f_t = f(theta_t)

The second is what a kernel says if it is formed anew at each step, so that f_t - q_t is what single steps do beyond
their own kernel, added up. f_t - p_t has the motion of the kernel in it as well; but p_t goes by residuals of its own,
so it corrects itself: whatever descends to y gets there, and a kernel that says too much of each step may still be near
in the end. With norms over all inputs and outputs,

- **error** = norm(p_t - f_t)/norm(f_t - f_0), and **error_reformed** with q_t: 1 is what the prediction that nothing
  moves has, and beyond 1 that one is better;
- **local** = norm(d_t + eta K_{t-1} g_{t-1})/norm(d_t) of a single step d_t = f_t - f_{t-1}, and **local_start** with
  K_0: 1 is again nothing moves;
- **ratio** = <g_{t-1}, d_t>/<g_{t-1}, -eta K_{t-1} g_{t-1}>: how much of a step arrives, along the gradient;
- **growth** = <g_{t-1}, K_{t-1} g_{t-1}>/<g_{t-1}, K_0 g_{t-1}>: what has become of the kernel there. Of what K_0 says,
  ratio times growth arrives, and may be near 1 where neither is.

Two different things agree or do not. **At the start** the kernel is right about a network's *first* step if `ratio` is
1 there; for small steps that is c of each quantised array, which `autodiff.step_ratios` measures. **In training**
`error`, and `local` of the later steps, say how long that lasts. The first is no evidence of the second: `ratio` is one
number along the residual, an average over flips, and leaves open what they do across it, and how the kernel moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.arguments import number, whole
from ntk1bit.autodiff import rows
from ntk1bit.autodiff.arriving_steps import step_ratios
from ntk1bit.autodiff.descents import (
    Outputs,
    largest_eigenvalue,
    predicted_outputs,
    read_rate,
    read_targets,
    trained_outputs,
)
from ntk1bit.autodiff.forecast_measures import measured_steps, relative_norms
from ntk1bit.autodiff.frameworks.jax_calls import Evaluate, batch_function
from ntk1bit.autodiff.frameworks.recognition import library_of, open_network
from ntk1bit.autodiff.losses import LOSSES, LossName, output_gradient
from ntk1bit.autodiff.parameters import Selection, split_parameters
from ntk1bit.autodiff.tangent_kernel import ntk
from ntk1bit.autodiff.weight_signs import Signs, counted_signs
from ntk1bit.errors import InputError, require_choice
from ntk1bit.printing import number as written
from ntk1bit.printing import short_lines, unheard

HOLDS = 0.1  # an error up to which a prediction is said to hold, unless a caller says otherwise


@dataclass(frozen=True, eq=False)
class TrainingForecast:
    """Outputs predicted and trained, of one network over its first steps; what `predict_then_train` returns.

    Attributes
    ----------
    eta, eta_rel
        Learning rate, and times lambda_max(K_0).
    loss
        Its name.
    trained, predicted, reformed
        f_t, p_t and q_t of this module's text for t = 0..T, (T + 1, n) or (T + 1, n, outputs), float64.
    trained_test, predicted_test, reformed_test
        The same for `x_test`; of no inputs if there are none.
    arriving
        c of each array of parameters at the start, by its path, as `step_ratios` measures it: what an infinitesimal
        step does over what its gradient says.
    counted
        What flips are counted of.
    """

    eta: float
    eta_rel: float
    loss: str
    trained: Outputs
    predicted: Outputs
    reformed: Outputs
    trained_test: Float[np.ndarray, "steps n_test ..."]
    predicted_test: Float[np.ndarray, "steps n_test ..."]
    reformed_test: Float[np.ndarray, "steps n_test ..."]
    arriving: dict[str, float]
    counted: str
    _rows: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return a row for each step, 0 to T.

        Returns
        -------
        `step`; `moved`, the root mean square of f_t - f_0; `error`, `error_reformed`, `local`, `local_start`, `ratio`
        and `growth` as this module defines them; `flips` and `flips_since_start`, the share of `counted` that differs
        from the step before and from the start; `loss` of f_t and `loss_predicted` of p_t; `moved_test`, `error_test`
        and `error_reformed_test` on test inputs. NaN: what is of a step at step 0, of a movement where there is none,
        and of test inputs where there are none. Infinity or NaN: what is of a training or a prediction that diverged.
        """
        return self._rows.copy()

    @property
    def first_ratio(self) -> float:
        """How much of the first step arrives: agreement at the start, for all arrays together and this `eta`."""
        return float(self._rows["ratio"].to_numpy()[1])

    def steps_held(self, within: float = HOLDS) -> int:
        """Return for how many steps from the start on, without a gap, `error` is at most `within`.

        Raises
        ------
        InputError
            If `within` is not a positive number.
        """
        within = number("within", within, allowed="a positive number", above=0.0)
        broken = np.flatnonzero(~(self._rows["error"].to_numpy()[1:] <= within))
        return int(broken[0]) if len(broken) else len(self._rows) - 1

    def error_between(self, first: int, last: int) -> float:
        """Return norm(p_t - p_s - f_t + f_s)/norm(f_t - f_s) for s = `first` and t = `last`.

        What moves first moves furthest, and `error`, which is this from step 0 on, is mostly of that.

        Raises
        ------
        InputError
            If the steps are not whole numbers with 0 <= first < last <= T.
        """
        end = len(self.trained) - 1
        last = whole("last", last, allowed=f"a step from 1 to {end}", least=1, most=end)
        first = whole("first", first, allowed=f"a step before {last}, 0 or later", least=0, most=last - 1)
        with np.errstate(invalid="ignore"):
            moved = self.trained[last] - self.trained[first]
            apart = self.predicted[last] - self.predicted[first] - moved
            return float(relative_norms(apart[None], moved[None])[0])

    def __repr__(self) -> str:
        """Say what agrees at the start and what in training, apart."""
        rows, last = self._rows, self._rows.iloc[-1]
        steps, n = len(rows) - 1, self.trained.shape[1]
        furthest = sorted(self.arriving.items(), key=lambda one: -abs(one[1] - 1))[:3]
        arrays = ", ".join(f"{path or 'the array'} {written(c)}" for path, c in furthest)
        since, latest = (written(100 * float(last[name])) for name in ("flips_since_start", "flips"))
        second = f"in its second half {written(self.error_between(steps // 2, steps))}"
        lines = [
            f"TrainingForecast(steps: {steps} at {written(self.eta_rel)}/lambda_max; loss: {self.loss}; inputs: {n}",
            f"  at the start {written(self.first_ratio)} of the first step arrives; furthest from 1:",
            f"    {arrays}",
            f"  in training error {written(float(rows['error'].iloc[1]))} after the first step, "
            f"{written(float(last['error']))} after the last, {second}",
            f"    (1: as if nothing moved); at most {HOLDS} for the first {self.steps_held()} steps",
            f"  flips {since} % since the start, {latest} % in the last step, of",
            f"    {self.counted}",
            f"  loss {written(float(rows['loss'].iloc[0]))}, then {written(float(last['loss']))}, predicted "
            f"{written(float(last['loss_predicted']))})",
        ]
        return short_lines(lines)


def predict_then_train(
    module: Any,
    x: Any,
    y: Any,
    *,
    steps: int = 20,
    eta_rel: float | None = None,
    eta: float | None = None,
    x_test: Any = None,
    loss: LossName = "squared",
    params: Any = None,
    state: Any = None,
    parameters: Selection = None,
    evaluate: Evaluate | None = None,
    signs: Signs | None = None,
    move: float = 0.003,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> TrainingForecast:
    """Predict a network's next outputs from its kernel now, train it by gradient descent, and compare.

    Parameters
    ----------
    module, x, params, state, parameters, evaluate, memory_budget
        As for `module_ntk`; JAX networks only. The network is left as it is: a copy of its parameters is trained, in
        evaluation mode, by the gradient of the loss that JAX's automatic differentiation gives. Parameters of 16 bits
        are trained in 16 bits, where small steps round to none.
    y
        Targets, of the shape of the outputs: (n,) or (n, outputs). For ``"cross_entropy"`` probabilities of classes
        (one-hot, say), for ``"logistic"`` numbers from 0 to 1.
    steps
        How many of full-batch gradient descent, 1 or more.
    eta_rel
        Learning rate in units of 1/lambda_max(K_0), K_0 being the kernel of all outputs together; 0.5 by default.
    eta
        Instead: the rate itself, of the loss *summed* over inputs.
    x_test
        Inputs to predict as well; none by default.
    loss
        ``"squared"``, 1/2 sum (f - y)^2; ``"cross_entropy"`` of the softmax over outputs; ``"logistic"``, a binary
        cross-entropy for each output. The last two are predicted by K_0 with their own gradient at the predicted
        outputs.
    signs
        What flips are counted of: a function of the parameters that returns arrays (of signs, say), in which an entry
        that differs has flipped. It gets what `describe_module` names the paths of: an Equinox module, a linen or
        Haiku pytree, the parameters of a function, a dict from path to array of nnx. By default the integers of the
        weights that `quantize` quantises, and of other networks the signs of all trained parameters.
    move
        Of `step_ratios`, for `arriving`.
    progress
        Called after each step with words and the share done.

    Returns
    -------
    TrainingForecast
        A training or a prediction that diverges ends in infinity, without an error.

    Raises
    ------
    InputError
        As `module_ntk`; if the network is of PyTorch, targets do not fit outputs or loss, both rates are given or one
        is not positive, the kernel is zero, or `signs` fails.

    Warns
    -----
    UserWarning
        As `module_ntk`.
    """
    steps = whole("steps", steps, allowed="a whole number, 1 or more", least=1)
    require_choice("loss", loss, LOSSES)
    given = read_rate(eta, eta_rel)
    tell = unheard if progress is None else progress
    library = library_of(module)
    if library == "torch":
        raise InputError("predict_then_train takes JAX networks, and this one is of PyTorch; module_ntk takes both")
    network = open_network(module, library, params=params, state=state)
    inputs, test = rows.read_inputs("x", x), None
    f = batch_function(network, inputs, evaluate).f
    every, n = inputs, rows.count(inputs)
    if x_test is not None:
        inputs, test = rows.match_inputs(inputs, rows.read_inputs("x_test", x_test))
        every = jax.tree.map(lambda *parts: jnp.concatenate(parts), inputs, test)
    split, trained, frozen = split_parameters(network.params, parameters)

    def outputs_of(trained: Any, frozen: Any, x: Any) -> jax.Array:
        return f(split.join(trained, frozen), x)

    targets = read_targets(y, jax.eval_shape(outputs_of, trained, frozen, inputs), loss)
    flips = counted_signs(network, library, split, (trained, frozen), signs)
    settings: dict[str, Any] = {"trace_outputs": False, "parameters": parameters, "memory_budget": memory_budget}
    kernel = ntk(f, network.params, inputs, **settings)
    kernel_test = None if test is None else ntk(f, network.params, test, inputs, **settings)
    largest = largest_eigenvalue(kernel)
    rate = given.absolute(largest)
    tell("kernel at the start", 0.0)
    run = trained_outputs(outputs_of, loss, (trained, frozen), targets, rate, every, n, steps, flips, tell)
    first = run.outputs[0]
    guess = predicted_outputs(loss, kernel, kernel_test, targets, first[:n], first[n:], rate, steps)
    reformed = first + np.concatenate([np.zeros((1, *first.shape)), np.cumsum(run.said, axis=0)])
    gradient = output_gradient(loss, first[:n], targets)
    return TrainingForecast(
        eta=rate,
        eta_rel=rate * largest,
        loss=loss,
        trained=run.outputs[:, :n],
        predicted=guess[:, :n],
        reformed=reformed[:, :n],
        trained_test=run.outputs[:, n:],
        predicted_test=guess[:, n:],
        reformed_test=reformed[:, n:],
        arriving=step_ratios(f, network.params, inputs, gradient, move=move, parameters=parameters),
        counted=flips.counted,
        _rows=measured_steps(loss, kernel, rate, targets, run, guess, reformed),
    )
