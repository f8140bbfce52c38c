"""What the view in Redis has to hold, told from the topics alone, and what it holds.

This is written from `docs/redis.md` and shares no code with the view. A content is what is behind each key, with `G`
for the generation that is read; a key of any other generation is there under its own name, and so is one too many.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis

from stream_app.adapters.topics import TopicNames
from tests.chaos.evidence import read_committed

PREFIX: Final = "segmenter:"
BOOKKEEPING: Final = (
    "generation",
    "generations",
    "feed",
    "feed:position",
    "G:position",
    "G:segmentations",
    "G:told",
)
"""Keys that there has to be one of each of; what is behind them is the view's own business."""
HISTORY_MIGRATIONS: Final = 20
"""That are kept of a customer, as the view does by itself."""
MONEY_UNITS: Final = 10_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Content = dict[str, dict[Any, Any] | None]


def expected_content(bootstrap_servers: str, names: TopicNames, partitions: int) -> Content:
    """Return what the topics say that the view has to hold."""
    memberships: dict[bytes, dict[str, Any]] = {}
    for message in read_committed(bootstrap_servers, names.memberships, partitions):
        if message.value() is None:
            memberships.pop(message.key(), None)
        else:
            memberships[message.key()] = json.loads(message.value())
    notices: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for message in read_committed(bootstrap_servers, names.upcoming, partitions):
        notice = json.loads(message.value())
        notices[notice["customer_id"], notice["segmentation"]].append(notice)
    content: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
    for membership in memberships.values():
        customer_id, name, segment = (membership[field] for field in ("customer_id", "segmentation", "segment"))
        since, as_of = _milliseconds(membership["since"]), _milliseconds(membership["as_of"])
        ahead = membership["next_move"]
        for notice in notices[customer_id, name]:
            if notice["segment"]["id"] == segment["id"] and _milliseconds(notice["decided_at"]) >= since:
                ahead = notice["next_move"]
        following = _next_move(ahead)
        content[f"G:c:{customer_id}"] |= {
            name: f"{membership['sequence']} {segment['id']} {since} {membership['model_version']} {as_of}{following}",
            f"?{name}": membership["sequence"],
        }
        content[f"G:m:{name}:{segment['id']}"][customer_id] = since
        if following:
            at, target = following.split()
            content[f"G:u:{name}:{segment['id']}>{target}"][customer_id] = int(at)
    histories: defaultdict[str, list[str]] = defaultdict(list)
    for message in read_committed(bootstrap_servers, names.migrations, partitions):
        move = json.loads(message.value())
        histories[move["customer_id"]].insert(0, f"{move['segmentation']}/{move['sequence']}")
        content[f"G:d:{move['segmentation']}"][move["effective_at"][:10]] = True
        origin, target = ((move[end] or {"id": ""})["id"] for end in ("from_segment", "to_segment"))
        flows = content[f"G:f:{move['segmentation']}:{move['effective_at'][:10]}"]
        field = f"{origin}>{target}>{move['cause']['kind']}>{move['change']}"
        flows[field] = flows.get(field, 0) + 1
        if move["revenue_before"]:
            money = content[f"G:v:{move['segmentation']}:{move['effective_at'][:10]}"]
            money[field] = money.get(field, 0) + round(move["revenue_before"] * MONEY_UNITS)
    for customer_id, history in histories.items():
        content[f"G:h:{customer_id}"] = dict(enumerate(history[:HISTORY_MIGRATIONS]))
    totals: set[str] = set()  # and lists of examples: keys of which only that they are there is compared
    for message in read_committed(bootstrap_servers, names.figures, partitions):
        name, _, partition = message.key().decode().partition("/")
        totals.add(f"G:t:{name}")
        content[f"G:figures:{name}"][partition] = message.value().decode()
    for message in read_committed(bootstrap_servers, names.dead_letters, partitions):
        reason = json.loads(message.value())["reason"]
        day = content[f"G:r:{EPOCH + timedelta(milliseconds=message.timestamp()[1]):%Y-%m-%d}"]
        day[reason] = day.get(reason, 0) + 1
        totals.add(f"G:x:{reason}")
    for message in read_committed(bootstrap_servers, names.samples, 1):
        sample = json.loads(message.value())
        if "kind" not in sample:
            content["G:buyers"][str(sample["partition"])] = _milliseconds(sample["as_of"])
    models = {
        f"G:models:{json.loads(message.value())['segmentation']}"
        for message in read_committed(bootstrap_servers, names.models, 1)
        if message.value() is not None and not message.key().startswith(b"~")
    }
    return {**dict.fromkeys(BOOKKEEPING), **dict.fromkeys(models | totals), **content}


def stored_content(client: redis.Redis) -> Content:
    """Return what Redis holds; of a reason, the number of the membership that it belongs to."""
    generation = client.get(f"{PREFIX}generation")
    if generation is None:
        return {}
    own = f"{PREFIX}{generation.decode()}:"
    keys = [key.decode() for key in client.scan_iter(count=1_000)]
    names = [f"G:{key.removeprefix(own)}" if key.startswith(own) else key.removeprefix(PREFIX) for key in keys]
    # The lists of paths may name some that have nobody any more; the sets behind the paths say all that they do.
    stated = [place for place, name in enumerate(names) if not name.startswith("G:u:") or ">" in name]
    keys, names = [keys[place] for place in stated], [names[place] for place in stated]
    pipeline = client.pipeline(transaction=False)
    for key, name in zip(keys, names, strict=True):
        if name.startswith(("G:m:", "G:u:")):
            pipeline.zrange(key, 0, -1, withscores=True)
        elif name.startswith(("G:c:", "G:f:", "G:v:", "G:r:", "G:figures:")) or name == "G:buyers":
            pipeline.hgetall(key)
        elif name.startswith("G:h:"):
            pipeline.lrange(key, 0, -1)
        elif name.startswith("G:d:"):
            pipeline.smembers(key)
        else:
            pipeline.exists(key)
    content: Content = {}
    for name, answer in zip(names, pipeline.execute(), strict=True):
        if name.startswith(("G:m:", "G:u:")):
            content[name] = {member.decode(): int(score) for member, score in answer}
        elif name.startswith("G:c:"):
            content[name] = {
                field.decode(): json.loads(value)[0] if field.startswith(b"?") else value.decode()
                for field, value in answer.items()
            }
        elif name.startswith("G:figures:"):
            content[name] = {field.decode(): value.decode() for field, value in answer.items()}
        elif name.startswith("G:h:"):
            moves = map(json.loads, answer)
            content[name] = dict(enumerate(f"{move[0]}/{move[6][0]}" for move in moves))
        elif name.startswith("G:d:"):
            content[name] = {day.decode(): True for day in answer}
        elif name.startswith(("G:f:", "G:v:", "G:r:")):
            content[name] = {field.decode(): int(count) for field, count in answer.items()}
        elif name == "G:buyers":
            content[name] = {partition.decode(): json.loads(sample)[0] for partition, sample in answer.items()}
        else:
            content[name] = None
    return content


def difference(expected: Content, stored: Content) -> str:
    """Return in one line how a view differs; empty if it does not."""
    missing, extra = expected.keys() - stored.keys(), stored.keys() - expected.keys()
    other = [name for name in expected.keys() & stored.keys() if expected[name] != stored[name]]
    if not (missing or extra or other):
        return ""
    text = f"{len(missing)} keys missing {sorted(missing)[:3]}, {len(extra)} too many {sorted(extra)[:3]}"
    example = f", such as {other[0]}: {stored[other[0]]}, not {expected[other[0]]}" if other else ""
    return f"{text}, {len(other)} with something else behind them{example}"


def _next_move(move: dict[str, Any] | None) -> str:
    if move is None:
        return ""
    target = move["to_segment"]
    return f" {_milliseconds(move['at'])} {target['id'] if target else '-'}"


def _milliseconds(instant: str) -> int:
    return (datetime.fromisoformat(instant) - EPOCH) // timedelta(milliseconds=1)
