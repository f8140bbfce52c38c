"""What is known of ids that are one customer's."""

from __future__ import annotations

from stream_app.contracts.ids import placeholder_form, placeholder_forms
from stream_app.core.identities import IdentityRules, Namespace
from stream_app.core.weaving import Weaver
from stream_app.settings.sections import Settings


def create_weaver(settings: Settings, without: frozenset[tuple[str, str]] = frozenset()) -> Weaver:
    """Return what follows statements on identities, none of which has been made yet.

    Parameters
    ----------
    without
        See `Weaver`.
    """
    identities, records = settings.identities, settings.records
    blocked = (*records.placeholder_ids, *records.more_placeholder_ids, *identities.blocked_ids)
    rules = IdentityRules(
        namespaces={name: Namespace(each.priority, each.limit) for name, each in identities.namespaces.items()},
        merges_max=identities.merges_max,
        blocked=placeholder_forms(blocked),
        blocked_form=placeholder_form,
        merge_identified=identities.merge_identified,
    )
    return Weaver(rules, without)
