"""Events of KServe's logger under pseudonyms, with nothing that nobody reads."""

from __future__ import annotations

from typing import Any

import msgspec

from liverank.data.cloudevents import REQUEST, InferenceEvent
from liverank.data.inference_bodies import Answered, Asked, answered, asked
from liverank.pseudonyms import Pseudonyms


def pseudonymous(event: InferenceEvent, names: Pseudonyms) -> InferenceEvent:
    """The event with users and sessions under their pseudonyms.

    Its body is made anew, in the shape of v1 whatever it came in, from the fields that impressions are made of: what
    else a caller sent may name the user once more.

    Args:
        event: a request or a response.
        names: the pseudonyms.

    Raises:
        DataError: the body is no half of a ranking.
    """
    lists: list[Asked] | list[Answered] = asked(event.data) if event.type == REQUEST else answered(event.data)
    data = [_renamed(one, names) for one in lists]
    return msgspec.structs.replace(event, data={"instances" if event.type == REQUEST else "predictions": data})


def _renamed(one: Asked | Answered, names: Pseudonyms) -> Any:
    user = names.user(one.user_id) if one.user_id else one.user_id
    session = {"session_id": names.session(one.session_id)} if isinstance(one, Asked) else {}
    return msgspec.to_builtins(msgspec.structs.replace(one, user_id=user, **session))
