"""The segments of the newest model of each segmentation, looked up by id or name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from stream_app.contracts.migration_filter import SegmentChoice
from stream_app.contracts.readers import KEY_SEPARATOR, ModelRecord, SegmentReference
from stream_app.errors import SegmentAmbiguous, SegmentUnknown

SHOWN_SEGMENTS: Final = 20
"""Named in a message at most."""


class SegmentIndex:
    """Segments of all segmentations; filled by `add`, model after model."""

    def __init__(self) -> None:
        self.models: dict[str, ModelRecord] = {}
        """The newest published model of each segmentation."""
        self._seen: dict[tuple[str, str], SegmentReference] = {}

    def add(self, model: ModelRecord) -> None:
        """Take a model in; one that is not published, or older than the one known, changes nothing."""
        known = self.models.get(model.segmentation)
        if not model.is_published or (known is not None and model.version < known.version):
            return
        self.models[model.segmentation] = model
        for reference in model.references:
            self._seen[model.segmentation, reference.id] = reference

    def remove(self, segmentation: str) -> None:
        """Forget a segmentation: it no longer has a model."""
        self.models.pop(segmentation, None)

    def reference(self, segmentation: str, segment_id: str) -> SegmentReference:
        """Return a segment with its newest name; one that was never seen is called by its id."""
        return self._seen.get((segmentation, segment_id)) or SegmentReference(segment_id, segment_id)

    def require(self, segmentation: str) -> ModelRecord:
        """Return the newest model of a segmentation.

        Raises
        ------
        SegmentUnknown
            If there is none.
        """
        model = self.models.get(segmentation)
        if model is None:
            raise SegmentUnknown(f"there is no segmentation {segmentation!r}{_hint(segmentation, self.models)}")
        return model

    def resolve(self, choice: SegmentChoice, within: Collection[str] | None = None) -> SegmentChoice:
        """Return the one segment that somebody names, by segmentation and id.

        Parameters
        ----------
        choice
            The words used. An id goes before an equal name, a segment in use before a retired one.
        within
            Segmentations to look in; all if None.

        Raises
        ------
        SegmentUnknown
            If no model has it.
        SegmentAmbiguous
            If several segmentations have it.
        """
        if within is not None and choice.segmentation is not None and choice.segmentation not in within:
            raise SegmentUnknown(f"{_shown(choice)!r} is no segment of {', '.join(sorted(within))}")
        names = [choice.segmentation] if choice.segmentation is not None else sorted(within or self.models)
        found = [
            SegmentChoice(name, reference.id)
            for name in names
            if (reference := _find(self.require(name).references, choice.segment)) is not None
        ]
        if not found:
            known = [_labels(name, reference) for name in names for reference in self.models[name].references]
            raise SegmentUnknown(f"there is no segment {_shown(choice)!r}{_hint_of_segments(choice.segment, known)}")
        if len(found) > 1:
            candidates = ", ".join(self.shown(one) for one in found)
            raise SegmentAmbiguous(
                f"{choice.segment!r} is a segment of several segmentations: name one of {candidates}"
            )
        return found[0]

    def shown(self, choice: SegmentChoice) -> str:
        """Return a choice of `resolve` as people read it, its id first: `value/s5 (At risk)`."""
        return _labelled(self.reference(choice.segmentation or "", choice.segment), choice.segmentation)


def _find(references: Iterable[SegmentReference], wanted: str) -> SegmentReference | None:
    references = tuple(references)
    by_id = next((reference for reference in references if reference.id == wanted), None)
    return by_id or next((reference for reference in references if reference.name == wanted), None)


def _shown(choice: SegmentChoice) -> str:
    return choice.segment if choice.segmentation is None else f"{choice.segmentation}{KEY_SEPARATOR}{choice.segment}"


def _labelled(reference: SegmentReference, segmentation: str | None) -> str:
    """Return a segment by its id, which stays, with its present name."""
    words = _shown(SegmentChoice(segmentation, reference.id))
    return words if reference.name == reference.id else f"{words} ({reference.name})"


def _labels(segmentation: str, reference: SegmentReference) -> tuple[str, str, str]:
    return segmentation, reference.id, reference.name


def _hint_of_segments(wanted: str, known: Collection[tuple[str, str, str]]) -> str:
    guess = _guess(wanted, [word for _, *words in known for word in words])
    if guess is not None:
        meant = [_labelled(SegmentReference(*words), name) for name, *words in known if guess in words]
        return f"; did you mean {' or '.join(meant)}?"
    listed = [_labelled(SegmentReference(*words), name) for name, *words in known]
    more = ", …" if len(listed) > SHOWN_SEGMENTS else ""
    return f"; there are {', '.join(listed[:SHOWN_SEGMENTS])}{more}" if listed else "; there are none yet"


def _hint(wanted: str, known: Collection[str]) -> str:
    guess = _guess(wanted, known)
    if guess is not None:
        return f"; did you mean {guess!r}?"
    return f"; there are {', '.join(sorted(known))}" if known else "; there are none yet"


def _guess(wanted: str, known: Iterable[str]) -> str | None:
    """Return the word that was probably meant: one that differs only in case, or little."""
    by_folded = {word.casefold(): word for word in known}
    close = get_close_matches(wanted.casefold(), by_folded, n=1, cutoff=0.8)
    return by_folded[close[0]] if close else None
