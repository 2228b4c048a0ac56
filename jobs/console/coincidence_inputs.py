"""What `earshot train coincidence` learns on in place of clips: imported vectors, or pairs that people judged."""

import dataclasses
from typing import Any

from jobs.console.options import Session
from jobs.console.overrides import override
from pipeline.errors import ConfigError


def with_inputs(session: Session, learner: str, inputs: str | None, pairs: str | None, folder: str) -> Session:
    """The session with coincidence.inputs and pairs as the options name them; with pairs, all else as the first model.

    Raises:
        ConfigError: another learner reads neither; or there is no first model, or the new one would take its place.
    """
    from pipeline.learners.loading import check_model, rebuild
    from pipeline.storage import files

    given = [f"coincidence.inputs={inputs}"] if inputs is not None else []
    given += [f"coincidence.pairs={files.absolute(pairs)}"] if pairs is not None else []
    if not given:
        return session
    if learner != "coincidence":
        option = "--inputs" if inputs is not None else "--pairs"
        raise ConfigError(f"{option}: coincidence alone learns on imported vectors or on pairs, not {learner}.")
    config: Any = session.config
    if pairs is not None:
        first = config.coincidence.first_model
        if folder == f"models/{first}":
            raise ConfigError(f"--pairs: learns on top of {folder}, which stays. Give another --name.")
        check_model(session.workspace, first, learner)
        own = rebuild(session.workspace, first, learner).config
        mine = {name: getattr(config.coincidence, name) for name in ("first_model", "pair_training")}
        config = dataclasses.replace(config, coincidence=dataclasses.replace(own, **mine))
    more = None if session.given is None else (*session.given, *given)
    return dataclasses.replace(session, config=override(config, given), given=more)
