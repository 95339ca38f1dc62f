"""``sweep``: choose the number of hidden units by the validation error of many starts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlpcore.cli.files import output_folder, refuse_to_overwrite
from mlpcore.cli.fitting import (
    Scaled,
    activations,
    describe_data,
    describe_training,
    first_network,
    nothing_learned,
    report_fit,
    save_fit,
    scale,
)
from mlpcore.cli.options import step_settings
from mlpcore.cli.pictures import save_picture
from mlpcore.cli.problem import Problem, Split, read_problem, split_rows, without_constants
from mlpcore.cli.report import (
    INTERRUPTED,
    UserError,
    complain,
    count,
    number,
    one_line,
    say,
    table,
    watched,
)
from mlpcore.multistart import SweepResult, sweep
from mlpcore.results import was_interrupted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; return the exit status."""
    if options.validation_fraction == 0:
        raise UserError("--validation-fraction: some rows must be held out to choose by, got 0")
    steps = step_settings(options)
    problem = read_problem(options)
    folder = output_folder(options.output_dir)
    model_file, picture_file = (
        folder / f"{problem.title}-sweep{suffix}" for suffix in (".npz", ".png")
    )
    refuse_to_overwrite(options.file, model_file, picture_file)
    split = split_rows(problem, options)
    problem = without_constants(problem, split.training)
    for size in options.hidden:  # what is wrong with a size is said before any is trained
        first_network(problem, options, size)

    sizes = count(len(options.hidden), "size")
    what = "classification" if problem.labels else "regression"
    describe_data(problem, split, options, what)
    say(f"Networks  {sizes}, {count(options.starts, 'start')} each, {_activation_names(options)}")
    describe_training(options, steps, options.patience or None)
    say()

    scaled = scale(problem, split.training)
    result = _merged(
        list(watched(_sizes(problem, scaled, split, options, steps), len(options.hidden), "size"))
    )
    if result is None:
        complain("interrupted before the first size was done; nothing was saved")
        return INTERRUPTED
    try:
        net, best = result.best()
    except ValueError as error:  # all of them diverged
        raise UserError(one_line(error)) from error
    if nothing_learned(best):
        complain("interrupted before anything was learned; nothing was saved")
        return INTERRUPTED
    if len(result.hidden) < len(options.hidden):
        complain(f"interrupted after {len(result.hidden)} of {sizes}")
    errors = _shown_errors(problem, scaled, result)
    model, fit = save_fit(  # before anything else can go wrong
        model_file,
        net,
        best,
        problem,
        split,
        scaled,
        options,
        sweep_hidden=[list(size) for size in result.hidden],
        sweep_validation_errors=errors,
    )
    _report_sizes(problem, result, errors)
    k, start = np.unravel_index(int(np.argmin(errors)), errors.shape)
    say()
    say(f"Chosen    {_size_name(result.hidden[k])} hidden units, start {start + 1}:")
    say(f"          {one_line(best.message)}; best epoch {best.best_epoch}")
    report_fit(problem, split, scaled, model, fit)
    say()
    say(f"Model     {model_file}")
    if not options.no_plot:

        def draw(figure: Figure) -> None:
            if scaled.targets is not None:
                scale_of_target = float(scaled.targets.scale[0])
                result.plot(figure.add_subplot(), rms_unit=scale_of_target, unit=problem.unit)
                return
            ax = result.plot(figure.add_subplot())
            ax.set_ylabel("validation cross-entropy per row")

        say(f"Picture   {save_picture(picture_file, draw, width=4.5)}")
    return 0


def _sizes(
    problem: Problem,
    scaled: Scaled,
    split: Split,
    options: argparse.Namespace,
    steps: dict[str, Any],
) -> Iterator[SweepResult]:
    """The sweep, a size at a time: each is what it would be among the others."""
    X, T = scaled.X, scaled.T
    for size in options.hidden:
        try:
            result = sweep(
                X[split.training],
                T[split.training],
                X[split.validation],
                T[split.validation],
                hidden=[size],
                starts=options.starts,
                activation=activations(options, size),
                output=problem.output,
                seed=options.seed,
                optimizer=options.optimizer,
                epochs=options.epochs,
                weight_decay=options.weight_decay,
                patience=options.patience or None,
                **steps,
            )
        except KeyboardInterrupt:
            return
        except (ValueError, TypeError) as error:
            raise UserError(one_line(error)) from error
        members = [member for one in result.results for member in one]
        if not members or was_interrupted(members):
            return
        yield result


def _merged(parts: list[SweepResult]) -> SweepResult | None:
    """One result of all sizes; None if there is none."""
    if not parts:
        return None
    validation = [part.validation_errors for part in parts if part.validation_errors is not None]
    return SweepResult(
        hidden=tuple(size for part in parts for size in part.hidden),
        networks=tuple(net for part in parts for net in part.networks),
        results=tuple(one for part in parts for one in part.results),
        training_errors=np.concatenate([part.training_errors for part in parts]),
        validation_errors=np.concatenate(validation),
    )


def _shown_errors(problem: Problem, scaled: Scaled, result: SweepResult) -> NDArray[np.float64]:
    """The validation errors (n_sizes, starts): RMSE in the target's unit, or cross-entropy."""
    assert result.validation_errors is not None
    errors: NDArray[np.float64] = result.validation_errors
    if scaled.targets is None:
        return errors
    return float(scaled.targets.scale[0]) * np.sqrt(2 * errors)


def _report_sizes(problem: Problem, result: SweepResult, errors: NDArray[np.float64]) -> None:
    unit = f" ({problem.unit})" if problem.unit else ""
    kind = "cross-entropy a row" if problem.labels else f"RMSE{unit}"
    chosen = int(np.unravel_index(int(np.argmin(errors)), errors.shape)[0])
    say(f"Validation {kind} of {count(errors.shape[1], 'start')}, by hidden units")
    say()
    lines = [["hidden units", "median", "lowest", ""]]
    for k, (size, of_size) in enumerate(zip(result.hidden, errors, strict=True)):
        mark = "chosen" if k == chosen else ""
        lines.append([_size_name(size), number(np.median(of_size)), number(of_size.min()), mark])
    table(lines)


def _size_name(size: tuple[int, ...]) -> str:
    """As ``--hidden`` takes it."""
    return "x".join(map(str, size))


def _activation_names(options: argparse.Namespace) -> str:
    return ", ".join(dict.fromkeys(options.activation))
