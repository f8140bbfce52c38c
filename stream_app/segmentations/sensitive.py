"""Traits that say what the law protects most, known by their names.

Article 9 of the GDPR forbids to process data on race or ethnic origin, political opinions, religion, trade unions,
genes, biometry, health, sex life and sexual orientation, unless there is a legal basis such as explicit consent;
Article 10 does so for criminal convictions. A trait of such a name is refused, by the configuration and by the intake
of profiles alike, unless the catalogue of traits names its legal basis. It is a guard against an oversight, not against
somebody who calls religion `x7`.

Names are compared in English, German, French, Italian and Spanish, without capitals, accents and separators.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple


class _Topic(NamedTuple):
    """What is protected, and how names give it away.

    Attributes
    ----------
    name
        For messages.
    words
        Suspicious as a word of a name.
    stems
        Suspicious anywhere in a name whose separators are left out.
    """

    name: str
    words: frozenset[str]
    stems: tuple[str, ...]


def _topic(name: str, words: str, stems: str) -> _Topic:
    return _Topic(name, frozenset(words.split()), tuple(stems.split()))


TOPICS: Final = (
    _topic(
        "race or ethnic origin",
        "race races racial rasse rassen raza razas razza razze etnia etnias etnie sinti",
        "ethnic ethnisch ethnie ethniq etnic skincolo hautfarbe couleurdepeau coloredellapelle colordepiel",
    ),
    _topic(
        "religion",
        "faith glaube glauben croyance croyances credo fede fe church kirche eglise chiesa iglesia jewish jew muslim "
        "moslem islam christian catholic katholisch protestant evangelisch orthodox hindu buddhist sikh atheist",
        "religio konfession confessione confesionreli kirchensteuer kirchenmitglied musulman islamis",
    ),
    _topic(
        "political opinions",
        "",
        "politic politik politisch politiq partyaffiliation partymember parteimitglied parteizugeh wahlabsicht "
        "votedfor ideolog votingintention intentiondevote intenzionedivoto intenciondevoto",
    ),
    _topic(
        "trade union membership",
        "",
        "tradeunion laborunion labourunion unionmember gewerkschaft syndicat syndiqu sindacat sindicat sindical",
    ),
    _topic(
        "health",
        "health sante salute salud illness illnesses sick medical medicale medico medica medication medications drug "
        "drugs krank invalide invalido hiv aids diabetes diabetic cancer asthma bmi pregnant incinta",
        "gesundheit krankheit krankenakte erkrank disease diagnos disabilit disabled behinder schwerbehind handicape "
        "maladie malattia malati enfermedad discapacit pregnan schwanger grossesse gravidanza embaraz medikament "
        "medicament medicinal allerg bloodtype bloodgroup blutgruppe mentalhealth psychiatr depression patientid",
    ),
    _topic(
        "sex life or sexual orientation",
        "gay lesbian queer lesbisch schwul lesbienne",
        "sexual sexuell sexuel sessual sexlife sexleben viesexuel lgbt transgender bisex homosex heterosex",
    ),
    _topic("genetic or biometric data", "dna gene genes genome genom", "genetic genetisch genetiq biometr faceprint"),
    _topic(
        "criminal convictions",
        "criminal criminel criminale conviction convictions",
        "criminalrecord vorstraf strafregister casierjudiciaire casellariogiud antecedentespenal",
    ),
)
_HARMLESS: Final = ("healthscore", "accounthealth", "customerhealth", "healthindex")
"""How a company's use of a service is rated; nobody's health."""
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@lru_cache(maxsize=4096)
def sensitive_topic(trait: str) -> str | None:
    """Return what a trait of this name says that is protected, None if its name gives nothing away."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", trait.replace("ß", "ss")) if not unicodedata.combining(c))
    words = [word.lower() for word in _WORDS.findall(plain)]
    joined = "".join(words)
    for harmless in _HARMLESS:
        if harmless in joined:
            return None
    for topic in TOPICS:
        if topic.words.intersection(words) or any(stem in joined for stem in topic.stems):
            return topic.name
    return None


def refusal_of(trait: str) -> str | None:
    """Return why a trait is refused that the catalogue names no legal basis for, None if it is not."""
    topic = sensitive_topic(trait)
    if topic is None:
        return None
    return (
        f"the trait {trait!r} seems to say something on {topic}, which is protected by law; expected its legal_basis "
        "in the catalogue, such as {type: string, legal_basis: 'explicit consent, art. 9(2)(a)'}"
    )
