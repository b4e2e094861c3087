"""The commands of the laboratory: ablate, bench, plot, show."""

import json
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

import microgpt
from microgpt import data
from microgpt.cli.console import console, say, warn
from microgpt.cli.options import (
    PATH,
    data_option,
    dtype_option,
    engine_option,
    json_option,
    model_options,
    new_path,
    require,
    train_options,
)
from microgpt.config import FORMER_NAMES, ModelConfig, TrainConfig, field_names
from microgpt.display import bar
from microgpt.engines import NOT_BUILT, native_is_here
from microgpt.errors import UserError
from microgpt.lab.ablation import ABLATION, Setting, Vary, check_here, trainings
from microgpt.lab.bench import WORK, Bench, Work, bench, bench_chat_sized
from microgpt.lab.comparison import Settings, cells, headings, load_libraries, write_comparison
from microgpt.lab.statistics import summary
from microgpt.lab.sweep import executor, sweep
from microgpt.plots.curves import draw_curves
from microgpt.plots.model import draw_model
from microgpt.runs.environment import environment
from microgpt.runs.folder import read_curve
from microgpt.system import files

RESULTS = Path("results")
TRAININGS = RESULTS / "trainings"  # of all comparisons
WIDE = 200  # columns of a table in a pipe, which has no edge to wrap at


def variations(context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> Vary:
    """Return {field: values} from words like lr=0.003,0.01; raise click.BadParameter."""
    defaults: dict[str, Setting] = {
        name: getattr(kind, name)
        for kind in (ModelConfig, TrainConfig)
        for name in field_names(kind)
        if name not in ("seed", "stop_after")
    }
    now = {former: name for name, former in FORMER_NAMES.items()}
    vary: dict[str, list[Setting]] = {}
    for word in words:
        name, _, listed = word.partition("=")
        name = now.get(name, name)
        if name in vary:
            raise click.BadParameter(f"{name} is there twice: give all its values at once")
        if name not in defaults:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(defaults)}")
        default = defaults[name]
        try:
            vary[name] = [_value(type(default), text) for text in listed.split(",")]
        except (ValueError, KeyError):
            raise click.BadParameter(
                f"{word!r}: write {name}=A,B with values like {default}"
            ) from None
    return vary


def _value(kind: type[Setting], text: str) -> Setting:
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)


@click.command("ablate")
@data_option
@click.option(
    "--vary",
    multiple=True,
    callback=variations,
    metavar="FIELD=A,B",
    help="Compare values of a setting instead of the four variants; repeatable.",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="For each variant."
)
@train_options("steps", "batch", "lr", "seed", "order", "validation", validation=0.1)
@click.option(
    "--last",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Steps that the mean loss is over.",
)
@engine_option
@dtype_option
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@click.option("--scheduler", help="Dask scheduler, tcp://...; its workers replace the processes.")
@click.option(
    "--out",
    type=PATH,
    callback=new_path,
    help="Folder of the comparison [default: a new one under results/].",
)
@model_options
def ablate_command(
    path: Path | None,
    vary: Vary,
    seeds: int,
    config: TrainConfig,
    last: int,
    engine: str,
    dtype: str,
    workers: int | None,
    scheduler: str | None,
    out: Path | None,
    model: ModelConfig,
) -> None:
    """Compare the four variants of the model, or values of a setting.

    \b
    Examples: microgpt ablate --seeds 5
              microgpt ablate --vary lr=0.003,0.01,0.03 --seeds 3
    Trainings that are done are not repeated: their results are kept in results/trainings/.
    """
    path = path or data.NAMES
    name = "vary-" + "-".join(vary) if vary else "ablation"
    vary = vary or ABLATION
    jobs = trainings(model, config, vary, seeds, engine, dtype)
    last = min(last, *(job.train.end for job in jobs))  # no mean of more steps than there are
    docs = data.read_docs(path)
    for line in data.remarks(path, docs, min(job.model.block_size for job in jobs)):
        warn(line)
    sha256 = data.sha256_of(path)
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if not scheduler:
        check_here(jobs, docs, workers)
    with executor(workers, scheduler) as run_on, _progress(len(jobs)) as progress:
        results = sweep(jobs, docs, sha256, TRAININGS, run_on, last, progress, load_libraries)
    settings = Settings(
        engine=", ".join(dict.fromkeys(job.engine for job in jobs)),
        dtype=dtype,
        model=model,
        train=config,
        vary=vary,
        seeds=seeds,
        last=last,
        data={"path": str(path), "documents": len(docs), "sha256": sha256},
        workers=scheduler or workers,
    )
    if out:
        out.mkdir(parents=True)
    folder = out or files.new_folder(RESULTS / name)
    remarks = write_comparison(folder, results, settings)
    wide = Console(width=console.width if console.is_terminal else WIDE)
    rows = [headings(last), *map(cells, summary(results))]
    table = _comparison_table(rows)
    if wide.measure(table, options=wide.options.update(width=WIDE)).maximum > wide.width:
        table = _narrow_table(rows)
    wide.print(table)
    for line in [*remarks, f"the comparison is in {folder}"]:
        say(line)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield what shows the progress of `total` trainings: a bar, or a line each in a pipe."""
    live = console.is_terminal
    with bar("{task.description}", console) as progress:
        task = progress.add_task("", total=total)

        def show(done: int, training: str) -> None:
            progress.update(task, completed=done, description=training)
            if not live and (done or training):
                say(f"{done}/{total}  {training or 'done before'}")

        yield show


def _comparison_table(rows: list[list[str]]) -> Table:
    """Return a table of these rows, the first of which has the headings; it drops no letter."""
    table = Table(box=None)
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _narrow_table(rows: list[list[str]]) -> Table:
    """Return the same table with a line for each setting and for each standard deviation."""
    headings = (textwrap.wrap(heading, 8, break_long_words=False) for heading in rows[0])
    stacked = [["\n".join(heading) for heading in headings]]
    for variant, *figures in rows[1:]:
        lines = (figure.replace(" ± ", "\n± ") for figure in figures)
        stacked.append([variant.replace(" ", "\n"), *lines])
    table = _comparison_table(stacked)
    table.padding = (0, 1, 0, 0)
    return table


def _picture(out: Path | None, name: str) -> Path:
    """Return the path of a picture: `out`, or `name` in the folder that it is, or in results/.

    A path without a suffix is a folder, whether it is there or not.
    """
    if out is None or out.is_dir() or not out.suffix:
        return (out or RESULTS) / name
    return out


@click.command("plot")
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option(
    "--out", type=PATH, help="The picture, PNG, or its folder [default: results/plot.png]."
)
def plot_command(folders: tuple[Path, ...], out: Path | None) -> None:
    """Plot the losses of runs, of the host and of boards, together.

    Example: microgpt plot runs/a runs/b
    """
    require("plot", "matplotlib")
    curves = [read_curve(folder) for folder in folders]
    empty = [f for f, curve in zip(folders, curves, strict=True) if not len(curve.steps)]
    if len(empty) == len(folders):
        raise UserError(f"no step was recorded in {', '.join(map(str, empty))}")
    out = _picture(out, "plot.png")
    remark = draw_curves(out, curves)
    if remark:
        raise UserError(remark)
    for folder in empty:
        warn(f"left out, no step was recorded: {folder}")
    say(f"drawn: {out}")


@click.command("show")
@click.argument("folder", type=PATH)
@click.argument("text", default="emma")
@click.option(
    "--out", type=PATH, help="The picture, PNG, or its folder [default: results/show-NAME.png]."
)
def show_command(folder: Path, text: str, out: Path | None) -> None:
    """Plot attention, embeddings and next tokens of a model.

    TEXT is at most the model's block_size - 1 characters.

    Example: microgpt show runs/first maria
    """
    require("plot", "matplotlib")
    model = microgpt.load(folder, engine="tensor")
    out = _picture(out, f"show-{folder.resolve().name}.png")
    draw_model(out, model, text)
    say(f"drawn: {out}")


@click.command("bench")
@data_option
@train_options("steps", "seed", steps=50)
@click.option(
    "--repeats", type=click.IntRange(1), default=5, show_default=True, help="Figures are medians."
)
@click.option(
    "--chat-sized/--no-chat-sized", default=True, help="Time the large model too: minutes."
)
@json_option
def bench_command(
    path: Path | None, config: TrainConfig, repeats: int, chat_sized: bool, as_json: bool
) -> None:
    """Time training and sampling in scalar, tensor and native.

    Example: microgpt bench --repeats 9 --no-chat-sized
    """
    docs = data.read_docs(path or data.NAMES)
    large = None
    with Console(stderr=True).status("warming up") as status:
        charset, seed = data.charset_of(docs), config.seed
        small, work = bench(docs, charset, config.steps, repeats, seed, status.update)
        if chat_sized:
            large = bench_chat_sized(docs, repeats, seed, status.update)
    machine = environment()
    if as_json:
        result = {"environment": machine, **small.as_json(), "work": work}
        if large:
            result["chat_sized"] = large.as_json()
        click.echo(json.dumps(result, indent=2))
        return
    say(f"{machine['processor']}, {machine['system']}, one thread, {date.today()}")
    console.print(_bench_table(small))
    console.print(_work_table(work))
    if large:
        console.print(_bench_table(large))
    if not native_is_here():
        say(NOT_BUILT)


def _bench_table(measured: Bench) -> Table:
    table = Table(
        box=None,
        title=f"{measured.parameters:,} parameters, a document a step, medians of "
        f"{measured.repeats} repeats",
        title_justify="left",
        title_style="",
    )
    table.add_column("engine", no_wrap=True)
    for heading in ("µs a step", "steps/s", "tokens/s", "times scalar"):
        table.add_column(heading, justify="right")
    for engine, row in measured.engines.items():
        mark = " (extrapolated)" if row.get("extrapolated") else ""
        values = (row["us_per_step"], row["steps_per_s"], row["tokens_per_s"])
        ratio = f"{measured.speedup[engine]:,.1f}"
        table.add_row(engine + mark, *(_figure(value) for value in values), ratio)
    return table


def _work_table(work: Work) -> Table:
    engines = list(work["validation_ms"])
    table = Table(box=None)
    table.add_column("the same model")
    for engine in engines:
        table.add_column(engine, justify="right")
    for name, title in WORK.items():
        if row := work.get(name):
            cells = [_figure(row[engine]) if engine in row else "-" for engine in engines]
            table.add_row(title, *cells)
    return table


def _figure(value: float) -> str:
    """Return a number without decimals, or with three significant digits where it is small."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
