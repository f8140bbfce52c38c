from __future__ import annotations

import pytest

from stream_app.segmentations.sensitive import refusal_of, sensitive_topic

SENSITIVE = {
    "race or ethnic origin": ["ethnicity", "ethnic_group", "Race", "hautfarbe", "origineEthnique", "etnia", "razza"],
    "religion": ["religion", "Konfession", "religione", "religión", "faith", "customer.religion", "isMuslim", "GLAUBE"],
    "political opinions": ["political_opinion", "politischeMeinung", "opinions_politiques", "voted_for", "politica"],
    "trade union membership": ["tradeUnion", "trade-union", "gewerkschaftsmitglied", "syndicat", "sindacato"],
    "health": [
        "health",
        "healthStatus",
        "gesundheit",
        "santé",
        "salute",
        "salud",
        "allergies",
        "pregnant",
        "disability",
    ],
    "sex life or sexual orientation": ["sexual_orientation", "sexuelleOrientierung", "orientamento_sessuale", "LGBT"],
    "genetic or biometric data": ["dna", "biometric_id", "genetic_markers"],
    "criminal convictions": ["criminal_record", "Vorstrafen"],
}
HARMLESS = [
    "account_health",
    "birthday",
    "city",
    "company_size",
    "country",
    "credit_union_name",
    "customer_health_score",
    "gender",
    "generation",
    "grace_period",
    "healthy_food_fan",
    "language",
    "orientation",
    "party_size",
    "plan",
    "preferred_brand",
    "salutation",
    "segment",
    "sex",
    "tariff",
    "trace_id",
    "wealthy",
    "poll_votes",
    "parish",
    "shop_roma",
]


@pytest.mark.parametrize(("topic", "names"), SENSITIVE.items())
def test_names_that_say_what_is_protected_are_found_in_five_languages(topic: str, names: list[str]) -> None:
    assert {name: sensitive_topic(name) for name in names} == dict.fromkeys(names, topic)


@pytest.mark.parametrize("name", HARMLESS)
def test_usual_names_are_not_suspected(name: str) -> None:
    assert sensitive_topic(name) is None
    assert refusal_of(name) is None


def test_refusal_says_how_the_trait_is_accepted() -> None:
    assert refusal_of("religion") == (
        "the trait 'religion' seems to say something on religion, which is protected by law; expected its legal_basis "
        "in the catalogue, such as {type: string, legal_basis: 'explicit consent, art. 9(2)(a)'}"
    )
