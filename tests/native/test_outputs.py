"""What the compiled library writes of moves is what the reference in Python writes, byte by byte."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.core.clock import DAY_MS
from stream_app.core.events import REFUND, Event, Position
from stream_app.core.moves import CAUSE_KINDS, CHANGES, DEFINITION, LAPSE, LEFT, MODEL, MOVED, MigrationContext, Moves
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import NOWHERE
from stream_app.native.structures import FACT_DTYPE
from stream_app.segmentations import describing, presentation
from stream_app.segmentations.describing import Describer
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.axes import AXES
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.roles import AT_RISK, KINDS
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.presentation import Presentation, Texts
from stream_app.settings.loading import load_settings
from stream_app.simulator.simulation import Faults, simulate
from stream_app.sources.files import SourceFile
from tests.native.moves import Recording, check, check_described, chunk_of, describe, library_moves, part_of, tellable
from tests.native.wild_moves import (
    FOUR_ORDERS,
    ON_THE_LIST,
    START_MS,
    PhrasedSegmentation,
    draw_facts,
    draw_model,
    draw_moves,
    draw_ruled,
)
from tests.reference.migration import describe_moves
from tests.segmentations.examples import BY_RULES, RULES
from tests.support.models import learned_model

EUR = MigrationContext()
CONTEXTS = (
    EUR,
    MigrationContext("JPY", 1, 100, 'sa"lt'),
    MigrationContext("KWD", 1_000, 37, ""),
    MigrationContext("UYW", 10_000, 50, "ß"),
)
LEARNED = LearnedSegmentation(learned_model())


def drawn(seed: int, **options: Any) -> tuple[Moves, Segmentation]:
    rng = np.random.default_rng(seed)
    segmentation = LearnedSegmentation(draw_model(rng))
    return draw_moves(rng, 300, segmentation, **options), segmentation


# --- whole replays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "settings"),
    [
        (1, {"holdout": {"percent": 30}}),
        (2, {"money": {"base_currency": "JPY", "rates": {"EUR": "160.5"}}}),
        (7, {"money": {"base_currency": "KWD", "rates": {"EUR": "0.33"}}, "holdout": {"salt": 'say "x"'}}),
    ],
)
def test_replays_are_told_as_before(
    seed: int, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(60, 250, seed, tmp_path, faults=Faults(duplicate_rate=0.02, late_rate=0.1), refund_rate=0.2)
    segmentations = [{"kind": "learned", "name": "value"}, RULES]
    chosen = load_settings(None, settings | {"segmentations": segmentations, "learning": {"tick_days": 14}})
    sources = [SourceFile(tmp_path / f"{t}.jsonl.gz", t, {}, {}, None) for t in ("purchases", "engagements")]
    readers = create_readers(chosen, sources, 2**42)
    recording = Recording.of(monkeypatch)
    create_replay(chosen, tmp_path / "out").run(readers)
    for reader in readers:
        reader.close()
    assert recording.check() > 300
    causes = Counter(kind for moves, _, _, _ in recording.calls for kind in moves.cause_kind.tolist())
    assert {CAUSE_KINDS[kind] for kind in causes} >= {"purchase", "engagement", "lapse", "model"}


# --- drawn moves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.currency)
@pytest.mark.parametrize("seed", range(4))
def test_all_that_can_be_told_is_told_as_before(context: MigrationContext, seed: int) -> None:
    moves, segmentation = drawn(seed)
    check(moves, segmentation, context)


@pytest.mark.parametrize("seed", range(100, 106))
def test_rows_may_say_anything(seed: int) -> None:
    moves, segmentation = drawn(seed, is_wild=True)
    with np.errstate(all="ignore"):
        told = tellable(moves, segmentation, EUR)
        assert len(told.customer_ids) > 200
        check(told, segmentation, EUR)


def test_drawn_moves_reach_every_word() -> None:
    """The drawn moves of this file tell of each axis, stage and turn of phrase, or they would prove little."""
    sentences, decisive = [], set()
    for seed in range(4):
        moves, segmentation = drawn(seed)
        for migration in describe_moves(moves, segmentation, EUR):
            sentences.append(migration.explanation.sentence)
            decisive.add(getattr(migration.explanation, "decisive", None))
    told = "\n".join(sentences)
    for words in (
        *("Purchase of ", "Refund of ", "Engagement (", ", the first event", "No longer new after ", "Silent for "),
        *("since the only active day", "usually active every", "back after ", "after the last one, ", "no order"),
        *("the first order", "less than a day", "1 day", "less than once a year", "every day", " within a day"),
        *(", the last ", "comes about every", "the last visit ", "no visit so far", "spends about ", " means "),
        *("Visits have become rarer", "Orders have become rarer", "Orders and visits have become rarer"),
        *("No further order", "Model ", "is new: ", "first seen ", "; enters ", " → "),
    ):
        assert words in told, words
    assert decisive == {None, "silence", "tenure", "model", *AXES}


# --- numbers ---------------------------------------------------------------------------------------------------------


def moved(count: int, model: Model, **columns: Any) -> tuple[Moves, Segmentation]:
    """Return plain purchases that move customers from Regular to Big spenders."""
    segmentation = LearnedSegmentation(model)
    moves = draw_moves(np.random.default_rng(0), count, segmentation)
    codes = segmentation.roster.codes
    event = Event(0, "c1", "e1", START_MS, "order_completed", 1_250)
    return (
        dataclasses.replace(
            moves,
            cause_kind=np.zeros(count, np.int64),
            change=np.full(count, MOVED),
            from_code=np.full(count, codes[2], np.int16),
            target=np.full(count, 4),
            causes=[(event, Position("t", 0, 0))] * count,
            **columns,
        ),
        segmentation,
    )


def test_ties_are_rounded_as_before() -> None:
    moves, segmentation = moved(2_000, learned_model())
    # Half of a ten-thousandth of a day more than some of them: 4,320 ms.
    elapsed_ms = 8_640 * np.arange(2_000) * 7 + 4_320
    for activity in (moves.before, moves.after):
        activity["first_at_ms"] = START_MS - 2 * elapsed_ms
        for name in ("first_purchased_at_ms", "purchased_at_ms", "ordered_at_ms", "engaged_at_ms"):
            activity[name] = START_MS - elapsed_ms
    now_ms = np.full(2_000, START_MS)
    at_once = dataclasses.replace(moves, effective_at_ms=now_ms, decided_at_ms=now_ms, before_ms=now_ms)
    check(at_once, segmentation, EUR)


def test_nothing_is_decided_before_it_became_true() -> None:
    moves, segmentation = moved(3, learned_model())
    early = dataclasses.replace(moves, decided_at_ms=moves.effective_at_ms - 1)
    late = dataclasses.replace(moves, decided_at_ms=moves.effective_at_ms)
    assert describe(early, segmentation, EUR).lines == describe(late, segmentation, EUR).lines


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.currency)
@pytest.mark.parametrize(
    "usual_minor",
    [
        0.5,
        1.5,
        5.0,
        99.5,
        999.4999,
        999.5,
        1_000.0,
        1_050.0,
        1_150.0,
        12_345.5,
        1e15,
        1e17,
        123456789012345678.0,
        2.0**60,
        2.0**89,
        1e22,
        3e300,
    ],
)
def test_values_of_orders_are_told_as_before(usual_minor: float, context: MigrationContext) -> None:
    frame = dataclasses.replace(Frame(), order_value_minor=usual_minor)
    moves, segmentation = moved(40, Model("value", version=1, frame=frame, previous=Frame()))
    moves.after["purchases"][:20] = 0  # of whom the value is the usual one, exactly
    moves.after["log_order_values"][:20] = 0
    with np.errstate(over="ignore"):
        check(moves, segmentation, context)


def test_intervals_of_about_a_year_are_told_as_before() -> None:
    moves, segmentation = moved(4_000, learned_model())
    moves.after["gaps"] = moves.before["gaps"] = 1
    moves.after["log_gaps"] = np.linspace(9, 12, 4_000)
    moves.after["log_gaps_squared"] = 0
    moves = dataclasses.replace(
        moves, cause_kind=np.full(4_000, LAPSE), target=np.full(4_000, AT_RISK), causes=[None] * 4_000
    )
    told = describe(moves, segmentation, EUR).lines.decode()
    assert "usually active every 365 days" in told
    assert "usually active less than once a year" in told
    check(moves, segmentation, EUR)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.currency)
def test_amounts_are_told_as_before(context: MigrationContext) -> None:
    rng = np.random.default_rng(1)
    amounts = [0, 1, 5, 10, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 10**15, 10**16 - 1]
    amounts += rng.integers(0, 2**63, 200).tolist() + (10 ** rng.uniform(0, 18, 200)).astype(np.int64).tolist()
    moves, segmentation = moved(len(amounts), learned_model())
    causes = [(Event(REFUND, "c", "e", 0, "order_refunded", amount), Position("t", 0, 0)) for amount in amounts]
    kinds = np.full(len(amounts), REFUND)
    check(dataclasses.replace(moves, causes=causes, cause_kind=kinds), segmentation, context)


@pytest.mark.parametrize("year_ms", [-62_135_596_800_000, -1, 0, 951_782_399_999, 951_868_800_000, 253_402_300_799_999])
def test_instants_of_all_centuries_are_told_as_before(year_ms: int) -> None:
    moves, segmentation = moved(50, learned_model())
    at_ms = year_ms + np.arange(50) * (1 if year_ms < 10**14 else -1) * (DAY_MS * 31 + 1)
    following = moves.following._replace(at_ms=at_ms)  # type: ignore[attr-defined]
    check(
        dataclasses.replace(moves, effective_at_ms=at_ms, decided_at_ms=at_ms, following=following), segmentation, EUR
    )


def test_a_version_moves_customers_as_they_are_at_that_instant() -> None:
    moves, segmentation = drawn(8)
    by_version = part_of(moves, np.flatnonzero(moves.cause_kind >= MODEL).tolist())
    earlier = dataclasses.replace(by_version, before_ms=by_version.before_ms - DAY_MS)
    assert describe(earlier, segmentation, EUR).lines == describe(by_version, segmentation, EUR).lines


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.currency)
@pytest.mark.parametrize("seed", range(6))
def test_moves_by_rules_are_told_as_the_reference_tells_them(context: MigrationContext, seed: int) -> None:
    rng = np.random.default_rng(seed)
    segmentation = draw_ruled(rng)
    moves = draw_moves(rng, 300, segmentation)
    check(moves, segmentation, context, draw_facts(rng, 300, len(segmentation.conditions)))


def test_drawn_moves_by_rules_reach_every_word() -> None:
    sentences = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        segmentation = draw_ruled(rng)
        moves = draw_moves(rng, 300, segmentation)
        facts = draw_facts(rng, 300, len(segmentation.conditions))
        sentences += [each.explanation.sentence for each in describe_moves(moves, segmentation, EUR, facts)]
    told = "\n".join(sentences)
    for words in (
        *("Purchase of ", "Refund of ", "Engagement (", ", the first event", "Profile update", "Time has passed"),
        *("The definition is new", "The definition has changed", "A model has changed", "leaves VIPs who slip."),
        *(", was ", ": 4 or more ", ": no longer 4 or more ", "no longer on the list staff", " more; ", " → "),
        *(" orders", "1 order:", " EUR", " days", "1 hour:", " hours, was ", "; enters "),
    ):
        assert words in told, words


def one_move_by_rules(facts: list[tuple[Any, ...]], **changes: Any) -> tuple[str, dict[str, Any]]:
    """Return the sentence and the explanation of a purchase that leads into an audience."""
    moves = part_of(draw_moves(np.random.default_rng(0), 9, AUDIENCE), [0])
    event = Event(0, "c1", "e1", START_MS, "order_completed", 4_500)
    base: dict[str, Any] = {
        "cause_kind": np.zeros(1, np.int64),
        "change": np.zeros(1, np.int64),
        "from_code": np.zeros(1, np.int16),
        "target": np.zeros(1, np.intp),
        "causes": [(event, Position("t", 0, 0))],
    }
    moves = dataclasses.replace(moves, **base | changes)
    own = [np.array([(number, held, holds, 0, *values) for number, held, holds, *values in facts], FACT_DTYPE)]
    explanation = msgspec.json.decode(describe(moves, AUDIENCE, EUR, own).migration(0))["explanation"]
    return explanation["sentence"], explanation


AUDIENCE = PhrasedSegmentation("vip_slipping", ("VIPs who slip",), (FOUR_ORDERS, ON_THE_LIST))
CONDITION = "4 or more order_completed in the last 30 days"


def test_a_sentence_says_what_changed_from_which_value_to_which() -> None:
    sentence, explanation = one_move_by_rules([(0, 0, 1, 3.0, 4.0)])
    assert sentence == (
        "Purchase of 45.00 EUR: 4 orders, was 3: 4 or more order_completed in the last 30 days; enters VIPs who slip."
    )
    assert explanation["conditions"] == [
        {"condition": CONDITION, "before": 3.0, "after": 4.0, "held": False, "holds": True}
    ]


def test_a_sentence_says_what_is_true_no_longer() -> None:
    left = {"change": np.full(1, LEFT), "from_code": np.ones(1, np.int16), "target": np.full(1, NOWHERE)}
    by_time = {"cause_kind": np.full(1, LAPSE), "causes": [None]}
    sentence, _ = one_move_by_rules([(0, 1, 0, 4.0, 1.0), (1, 1, 0, np.nan, np.nan)], **left, **by_time)
    assert sentence == (
        f"Time has passed: 1 order, was 4: no longer {CONDITION}; no longer on the list staff; leaves VIPs who slip."
    )


def test_who_was_not_there_before_is_told_of_what_is_true() -> None:
    sentence, explanation = one_move_by_rules([(0, -1, 1, 0.0, 4.0), (1, -1, 0, 0.0, 0.0)])
    assert f"4 orders: {CONDITION}; enters" in sentence
    assert "staff" not in sentence
    assert [each["held"] for each in explanation["conditions"]] == [None, None]
    assert [each["before"] for each in explanation["conditions"]] == [None, None]


def test_a_later_version_of_an_audience_has_changed() -> None:
    by_version = {"cause_kind": np.full(1, DEFINITION), "causes": [None]}
    assert one_move_by_rules([], **by_version)[0] == "The definition is new; enters VIPs who slip."
    moves = part_of(draw_moves(np.random.default_rng(0), 9, AUDIENCE), [0])
    moves = dataclasses.replace(moves, **by_version)
    second = PhrasedSegmentation("vip_slipping", ("VIPs who slip",), AUDIENCE.conditions, version=2)
    assert b"The definition has changed; " in describe(moves, second, EUR).lines


@pytest.mark.parametrize(
    ("name", "value"),
    [("facts_at", -1), ("facts_at", 2), ("facts_at", 2**63 - 1), ("fact_count", -1), ("fact_count", 3)],
)
def test_facts_that_were_not_handed_over_are_refused(name: str, value: int) -> None:
    moves = draw_moves(np.random.default_rng(0), 1, AUDIENCE)
    records, facts = library_moves(moves, 0, [np.zeros(2, FACT_DTYPE)]), np.zeros(2, FACT_DTYPE)
    records[name] = value
    describer = Describer(EUR)
    describer.follow([AUDIENCE])
    with pytest.raises(ValueError, match="the library answers -5"):
        describer.describe(records, Texts.of([b"c1"]), chunk_of(moves.causes), facts)


@pytest.mark.parametrize("condition", [-1, 2, 2**31 - 1])
def test_conditions_that_a_version_does_not_have_are_refused(condition: int) -> None:
    moves = draw_moves(np.random.default_rng(0), 1, AUDIENCE)
    facts = np.zeros(1, FACT_DTYPE)
    facts["condition"] = condition
    with pytest.raises(ValueError, match="the library answers -5"):
        describe(moves, AUDIENCE, EUR, [facts])


# --- other kinds, and several segmentations --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "segmentation", [BY_RULES, EndedSegmentation("value", LEARNED), EndedSegmentation("gone", None)]
)
def test_other_kinds_are_told_as_before(segmentation: Segmentation) -> None:
    rng = np.random.default_rng(5)
    moves = draw_moves(rng, 200, BY_RULES)
    if segmentation is not BY_RULES:
        codes = [*segmentation.roster.by_code, 5]
        moves = dataclasses.replace(
            moves,
            from_code=rng.choice(codes, 200).astype(np.int16),
            target=np.full(200, NOWHERE),
            change=np.full(200, LEFT),
            cause_kind=np.full(200, DEFINITION),
            causes=[None] * 200,
            following=moves.following._replace(target=np.full(200, NOWHERE)),  # type: ignore[attr-defined]
        )
    check(moves, segmentation, EUR)


def test_moves_of_several_segmentations_are_told_in_their_order() -> None:
    rng = np.random.default_rng(6)
    segmentations = (LEARNED, BY_RULES, LearnedSegmentation(draw_model(rng)))
    parts = [draw_moves(rng, 100, segmentation) for segmentation in segmentations]
    order = rng.permutation(300)
    moves = np.concatenate([library_moves(part, number) for number, part in enumerate(parts)])
    moves["event"] = np.where(moves["event"] >= 0, np.arange(300), -1)
    moves = moves[order]
    ids = [customer_id for part in parts for customer_id in part.customer_ids]
    chunk = chunk_of([cause for part in parts for cause in part.causes])
    describer = Describer(EUR)
    describer.follow(segmentations)
    described = describer.describe(moves, Texts.of(ids[number].encode() for number in order.tolist()), chunk)
    migrations = [
        migration
        for part, segmentation in zip(parts, segmentations, strict=True)
        for migration in describe_moves(part, segmentation, EUR)
    ]
    check_described(described, [migrations[number] for number in order.tolist()])


def test_a_describer_follows_new_versions() -> None:
    rng = np.random.default_rng(7)
    describer = Describer(EUR)
    for version in (4, 5):
        segmentation = LearnedSegmentation(dataclasses.replace(learned_model(), version=version))
        moves = draw_moves(rng, 20, segmentation)
        describer.follow([segmentation])
        for _ in range(2):
            ids = Texts.of(customer_id.encode() for customer_id in moves.customer_ids)
            described = describer.describe(library_moves(moves), ids, chunk_of(moves.causes))
            check_described(described, describe_moves(moves, segmentation, EUR))


def test_no_moves_are_described_by_nothing() -> None:
    described = describe(part_of(drawn(0)[0], []), LEARNED, EUR)
    assert (len(described), described.lines) == (0, b"")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("segmentation", value) for value in (-1, 1, 2**31 - 1)),
        *(("cause", value) for value in (-1, 3, 6, 7)),
        *(("change", value) for value in (-1, len(CHANGES))),
        *(("from_code", value) for value in (-1, 32_768)),
        *(("target", value) for value in (-2, -1, len(KINDS))),
        *(("next_target", value) for value in (-2, len(KINDS))),
        *(("event", value) for value in (-1, 1, 2**62)),
    ],
)
def test_moves_of_what_was_not_handed_over_are_refused(name: str, value: int) -> None:
    moves, segmentation = moved(1, learned_model())
    records = library_moves(moves)
    records[name] = value
    describer = Describer(EUR)
    describer.follow([segmentation])
    with pytest.raises(ValueError, match="the library answers -5"):
        describer.describe(records, Texts.of([b"c1"]), chunk_of(moves.causes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text_at", 2**32 - 1),
        ("type_size", 65_535),
        ("type_size", len("order_completed") + 1),
        ("source", 1),
        ("kind", 2),
        ("customer_size", 99),
    ],
)
def test_events_that_lead_out_of_their_texts_are_refused(name: str, value: int) -> None:
    moves, segmentation = moved(1, learned_model())
    chunk = chunk_of(moves.causes)
    chunk.events.records[name] = value
    describer = Describer(EUR)
    describer.follow([segmentation])
    with pytest.raises(ValueError, match="the library answers -5"):
        describer.describe(library_moves(moves), Texts.of([b"c1"]), chunk)


@pytest.mark.parametrize("ends", [[], [-1], [2, 1]])
def test_ids_that_end_before_they_begin_are_refused(ends: list[int]) -> None:
    moves, segmentation = moved(2, learned_model())
    describer = Describer(EUR)
    describer.follow([segmentation])
    with pytest.raises(ValueError, match="the library answers -5"):
        describer.describe(library_moves(moves), Texts(b"c1c2", np.array(ends, np.int64)), chunk_of(moves.causes))


@pytest.mark.parametrize("minor_per_major", [5, 100_000])
def test_currencies_that_the_library_cannot_tell_are_refused(minor_per_major: int) -> None:
    with pytest.raises(ValueError, match=f"minor_per_major: {minor_per_major}, expected a power of ten"):
        Presentation(LEARNED, MigrationContext("XXX", minor_per_major))


# --- memory -----------------------------------------------------------------------------------------------------------


def test_lack_of_memory_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    moves, segmentation = moved(1, learned_model())
    describer = Describer(EUR)
    describer.follow([segmentation])
    with monkeypatch.context() as patched:
        patched.setattr(describing, "_describe", lambda: lambda *_: -1)
        with pytest.raises(MemoryError):
            describer.describe(library_moves(moves), Texts.of([b"c1"]), chunk_of(moves.causes))
    monkeypatch.setattr(describing, "_life", lambda: (lambda: None, lambda _: None))
    with pytest.raises(MemoryError):
        Describer(EUR)


def test_segmentation_that_the_library_cannot_tell_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presentation, "_functions", lambda: (lambda _: None, lambda _: None))
    with pytest.raises(ValueError, match="segmentation value: the library cannot word its moves"):
        Presentation(LEARNED, EUR)
