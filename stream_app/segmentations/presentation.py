"""How a version of a segmentation is worded: what the library looks up at every move, made once a version.

The words of sentences are in `native/outputs_sentences.c`; what depends on configuration is brought along: names,
statements, the usual order, the currency. Texts are handed over as they go into a JSON string, so that the library
escapes nothing but ids.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from stream_app.core.money import minor_digits
from stream_app.core.moves import MigrationContext
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import Segment
from stream_app.native.library import Buffer, address, buffer_address, function
from stream_app.native.mathematics import log
from stream_app.native.output_structures import PresentationForm, ToldFrame
from stream_app.native.segmentations import roster_columns
from stream_app.segmentations.learned.model import Frame
from stream_app.segmentations.learned.native_form import learned_form
from stream_app.segmentations.learned.roles import KINDS
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.learned.words import about, days, statement_of
from stream_app.segmentations.rules.explanation import RULED_KINDS, Conditioned, phrases_of

DIGITS_MAX: Final = 4
"""`SEG_DIGITS_MAX`."""
_LEARNED, _RULES, _OTHER = range(3)
"""Kinds, as far as outputs differ: others bring their explanations along."""
_encode: Final = msgspec.json.Encoder().encode


class Texts(NamedTuple):
    """Texts one after the other, and where each ends.

    Attributes
    ----------
    data
        UTF-8.
    ends
        Ascending, shape `(n,)`.
    """

    data: Buffer
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> Texts:
        """Return some texts, joined."""
        each = list(texts)
        return cls(b"".join(each), np.cumsum([len(text) for text in each], dtype=np.int64))


class Presentation:
    """A version of a segmentation as the library tells it.

    Parameters
    ----------
    segmentation
        The version.
    context
        What migrations say beyond the move.

    Raises
    ------
    ValueError
        If the library cannot tell it: a currency of more than four decimals, or more segments than it has room for.
    """

    def __init__(self, segmentation: Segmentation, context: MigrationContext) -> None:
        self.segmentation = segmentation
        self.model = segmentation.model if isinstance(segmentation, LearnedSegmentation) else None
        self.is_ruled: Final = segmentation.kind in RULED_KINDS
        self._phrases = phrases_of(cast(Conditioned, segmentation), context.currency) if self.is_ruled else ()
        self._context = context
        digits = minor_digits(context.minor_per_major)
        if digits > DIGITS_MAX or context.minor_per_major != 10**digits:
            raise ValueError(f"minor_per_major: {context.minor_per_major}, expected a power of ten up to 10,000")
        new, free = _functions()
        segments = list(segmentation.roster.by_code.values())
        codes, known, levels = roster_columns(segmentation.roster)
        texts = Texts.of(self._texts(segments))
        form = PresentationForm(
            kind=_RULES if self.is_ruled else _OTHER if self.model is None else _LEARNED,
            version=segmentation.version,
            digits=digits,
            holdout_percent=context.holdout_percent,
            target_count=len(codes),
            known_count=len(known),
            condition_count=len(self._phrases),
            codes=address(codes),
            known_codes=address(known),
            levels=address(levels),
            texts=buffer_address(texts.data),
            text_ends=address(texts.ends),
            text_count=len(texts.ends),
        )
        if self.model is not None:
            frame = self.model.frame
            form.counts_engagement = frame.counts_engagement
            form.model = learned_form(self.model).own
            form.frame, form.previous = _told_frame(frame), _told_frame(self.model.previous or frame)
        handle = new(ctypes.byref(form))
        if not handle:
            raise ValueError(f"segmentation {segmentation.name}: the library cannot word its moves")
        self.handle: Final[int] = handle
        weakref.finalize(self, free, handle)

    def _texts(self, segments: list[Segment]) -> Iterable[bytes]:
        name, context, model = self.segmentation.name, self._context, self.model
        yield f"{context.holdout_salt}:".encode()
        yield name.encode()
        yield _encode(name)
        yield _inside(context.currency)
        usual_minor = model.frame.order_value_minor if model else None
        yield b"" if usual_minor is None else _inside(about(usual_minor / context.minor_per_major, context))
        yield _inside(days(model.frame.new_days)) if model else b""
        yield _inside(f"Segmentation {name} is new")
        for segment in segments:
            yield _encode(segment.reference)
        for segment in segments:
            yield _inside(segment.name)
        if model:
            for target in range(len(KINDS)):
                yield _inside(statement_of(model, target))
        for part in chain.from_iterable(self._phrases):
            yield _inside(part)


def _inside(text: str) -> bytes:
    """Return a text as the inside of a JSON string."""
    return _encode(text)[1:-1]


def _told_frame(frame: Frame) -> ToldFrame:
    rhythm, usual_minor = frame.rhythm, frame.order_value_minor
    return ToldFrame(
        rhythm.log_gap,
        rhythm.log_gap_variance,
        rhythm.prior_weight,
        rhythm.stop_rate_per_day,
        rhythm.stop_after_first,
        usual_minor or 0.0,
        0.0 if usual_minor is None else log(usual_minor).item(),
        usual_minor is not None,
    )


@cache
def _functions() -> tuple[Callable[..., Any], Callable[..., Any]]:
    return (
        function("seg_presentation_new", ctypes.c_void_p, ctypes.c_void_p),
        function("seg_presentation_free", None, ctypes.c_void_p),
    )
