"""A training as the console sees it: the loop in this process or on Ray, its progress, its record at the end."""

from typing import Any

from cluster.addresses import CLIENT
from jobs.console.held_out import warn_of_chance
from jobs.console.options import Session
from pipeline.errors import ConfigError, DataError, UnreadError
from pipeline.learners import LEARNERS

NOTED_WAIT = 0.1  # share of a training's time


def fit(
    session: Session, job: dict[str, Any], step: str, workers: int | None, min_workers: int | None, num_steps: int
) -> None:
    """Run the loop in this process, or under Ray Train, and show how far it is.

    Args:
        job: as `train_job` takes it.
        step: the command and the learner, for the bar.
        workers, min_workers: as the options of `earshot train`.
    """
    from jobs.console.monitor import Monitor, publish_training
    from pipeline.learners.loading import train_job
    from pipeline.training.protocols import LocalContext

    is_local, done = workers == 0, 0

    def show(reached: int, metrics: dict[str, float]) -> None:
        nonlocal done
        shown = [f"{name} {value:.3g}" for name, value in metrics.items() if "loss" in name]
        shown += [f"{value:.0f} clips/s" for name, value in metrics.items() if name == "clips_per_s"]
        monitor.advance(reached - done, metrics, ", ".join(shown), are_new=bool(metrics))
        done = reached

    if not is_local:
        session.connect()
    publish = None if is_local else publish_training
    with Monitor(session.workspace, session.stages, step, num_steps, "steps", publish) as monitor:
        if is_local:
            train_job(LocalContext(show), job)
        else:
            from cluster.gpu_nodes import await_gpus
            from cluster.training import fit
            from jobs.console.reporting_waits import train_reporting_waits

            name, fatal = job["folder"].partition("/")[2], (ConfigError, DataError)
            await_gpus(name, min_workers or workers)
            fit(
                train_reporting_waits,
                job,
                name,
                workers,
                show,
                fatal,
                transient=(UnreadError,),
                min_workers=min_workers,
            )


def check_training_address(address: str | None) -> None:
    """Refuse a training whose driver is outside of its cluster: Ray Train does not come to an end over Ray Client.

    Raises:
        ConfigError: the address is one of Ray Client.
    """
    if address is not None and address.startswith(CLIENT):
        raise ConfigError(
            f"--address {address}: parts are cut and scored over Ray Client, but nothing is trained. Send the command "
            "as a job, `ray job submit --address http://HEAD:8265 --working-dir . -- python -m jobs.cli ...` without "
            "--address, or call it on a node of the cluster with --address auto."
        )


def format_record(stage: str, learner: str, record: dict[str, Any]) -> str:
    """Speed, best step and figures of a finished training; warns where they are no better than chance.

    Without validation there is no best step: it says so, and whose weights were kept.
    """
    from pipeline.evaluation.evaluating import VALIDATION

    headlines = LEARNERS[learner].evaluation().headlines
    warn_of_chance(stage, headlines, record["figures"])
    shown = {headline.metric for headline in headlines if headline.eval_set == VALIDATION}
    figures = [f"{m} {value:.3g}" for m, value in record["figures"].items() if m.endswith("loss") or m in shown]
    waited = record["data_wait_fraction"]
    note = f" ({waited:.0%} of the time spent waiting for clips)" if waited > NOTED_WAIT else ""
    is_validated = "validate_loss" in record["figures"]
    kept = f"best at step {record['best_step']}" if is_validated else "no validation, the last step's weights"
    return f"{record['clips_per_s']:.0f} clips/s{note}; {kept}: {', '.join(figures)}"
