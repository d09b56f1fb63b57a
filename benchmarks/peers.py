"""What the server is measured beside: `python -m benchmarks.peers floor|cross-encoder PORT [TITLES] [HISTORIES]`.

`floor` is a bare Starlette that answers with the ids reversed: what HTTP and JSON cost without any ranking.
`cross-encoder` is sentence-transformers' CrossEncoder behind a plain FastAPI: it reads the user's history and each
candidate's title together, as re-rankers are commonly served. Its weights are the packaged encoder's, so that it is as
fast as a trained one and ranks at random.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

PAIRS_AT_ONCE: Final = 32
EVENTS: Final = 20
"""Latest titles of a history that are read: as many as the language-model re-ranker does by default."""


def floor() -> Any:
    """The application."""
    import msgspec
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def rank(request: Request) -> Response:
        asked = msgspec.json.decode(await request.body())
        ranking = [{"item_id": item} for item in reversed(asked["candidates"])]
        return Response(msgspec.json.encode({"ranking": ranking}), media_type="application/json")

    return Starlette(routes=[Route("/v1/rank", rank, methods=["POST"])])


def cross_encoder(titles: dict[str, str], histories: dict[str, list[str]]) -> Any:
    """The application; `titles` of items, and `histories` of users as item ids, oldest first."""
    import torch
    from fastapi import FastAPI
    from pydantic import BaseModel
    from sentence_transformers import CrossEncoder

    from liverank.ranking.lm.template import HistoryTemplate, TitledEvent
    from liverank.text import PACKAGED, model_folder

    torch.set_num_threads(1)
    model = CrossEncoder(str(model_folder(PACKAGED)), num_labels=1, max_length=416, device="cpu")
    template = HistoryTemplate("en")
    app = FastAPI()

    class Asked(BaseModel):
        user_id: str
        candidates: list[str]

    # FastAPI resolves a handler's annotations by name in the module, where a local class is not found.
    def rank(asked: Any) -> dict[str, Any]:
        past = [TitledEvent(titles[item], "click", 1e5) for item in histories.get(asked.user_id, [])[-EVENTS:]]
        told = template.told(past, {})
        pairs = [(told, titles[item]) for item in asked.candidates]
        scores = model.predict(pairs, batch_size=PAIRS_AT_ONCE, show_progress_bar=False).tolist()
        ranked = sorted(zip(asked.candidates, scores, strict=True), key=lambda line: -line[1])
        return {"ranking": [{"item_id": item, "score": score} for item, score in ranked]}

    rank.__annotations__["asked"] = Asked
    app.post("/v1/rank")(rank)
    return app


def main(kind: str, port: str, *files: str) -> None:
    """Serves until a signal."""
    import uvicorn

    app = floor() if kind == "floor" else cross_encoder(*(json.loads(Path(file).read_text()) for file in files))
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
