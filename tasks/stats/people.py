"""Names of people, told by a column's name and the look of its values together.

Either by itself is no sign: `name` is as often a product's, and `Golden Delicious` looks like a person. Where the
column's name leaves it open, a good share of values must hold a given name that is common somewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal


def split_words(text: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(text.split())


# Called so, a column holds names of people, if its values look like names at all.
_PARTS = split_words(
    "firstname lastname surname forename givenname familyname middlename maidenname fname lname vorname nachname "
    "familienname apellido apellidos prenom cognome"
)
_OF_PARTS = split_words("first last given family middle maiden sur fore")
# Their `name` is a person's; of `OPEN` it may as well be a company's or a program's.
_PEOPLE = split_words(
    "person patient employee passenger driver student pupil teacher guest cardholder applicant borrower tenant "
    "resident citizen beneficiary claimant policyholder doctor physician nurse author contact spouse mother father "
    "guardian attendee respondent player coach cashier donor witness suspect victim defendant lawyer attorney "
    "instructor professor"
)
_OPEN = split_words(
    "people customer client subscriber manager agent child parent recipient sender buyer seller participant "
    "candidate reviewer employer supervisor assignee holder owner member worker caller signatory user full "
    "preferred legal"
)
_PLAIN = split_words("name names nom nombre nome navn naam")
_TITLES = split_words("mr mrs ms miss mister dr prof sir lady rev herr frau mme mlle monsieur madame sr sra srta")
_OF_THINGS = split_words(
    "inc llc ltd plc gmbh ag sa srl bv co corp corporation company group holding holdings bank school college "
    "university hospital clinic hotel inn restaurant cafe bar grill pizza street st avenue ave road rd square "
    "bridge station airport airlines intl international center centre county city lake river island museum theatre "
    "the and of for with new edition set pack size store shop market services service solutions systems "
    "technologies industries partners associates foundation institute department team club association brothers "
    "sons way drive court place terrace hills springs valley village crossing trail path plaza circle islands cliff "
    "cliffs highway parkway boulevard ridge heights junction meadow meadows harbor port view vista ville isle union "
    "summit tunnel turnpike mall manor mission orchard pass pike pine points prairie ramp ranch rapids run shoals "
    "shore shores spur squares stream streets fork forks fort freeway garden gardens gateway haven inlet knolls "
    "lakes landing lodge loop bay beach bend bluff bypass camp cape causeway common corner corners cove creek "
    "crescent crest crossroad divide estate estates expressway extension falls ferry flat flats walk"
)
# Common in many countries; without those that are also words, places, months or brands (Will, Paris, June).
_GIVEN = split_words(
    """
    aaron abdul abigail adam aditya adrian adriana agnes agnieszka ahmed aisha ajay alan albert alejandra alejandro
    aleksander aleksandra alessandra alessandro alessia alexander alexandra alexis alfonso alfred alfredo ali alice
    alicia alison allison alvaro amanda amar amelia amina amit amy ana ananya anders andre andrea andreas andrew
    angela angelica angelo anil anita anja anjali ann anna anne annette annie anthony antje antoine anton antonia
    antonio arjun arthur ashley ashok astrid audrey ayse barbara bartosz beata beatrice benjamin bernard bernd beth
    bettina betty bianca birgit birgitta bjorn bogdan boris brandon brenda brian bridget britta bruna bruno bryan
    camila camille carl carla carlo carlos carmen carol caroline carolyn carsten catarina catherine cecilia celine
    chad charles charlotte chiara chloe christian christina christine christopher claire clara claudia colin
    concepcion connor cornelia craig cristian cristina cynthia dagmar daniel daniela daniele danielle david davide
    deborah debra deepak denise dennis derek detlef diana diane diego dieter dimitri dmitri dolores domenico dominik
    donald donna doris dorothy douglas dylan eckhard edith eduardo edward eileen elena elisa elizabeth elke ella
    ellen emanuele emily emine emma emre enrique enzo eric erica erik erika ernest ester ethan eugene eugenio eva
    evelyn fabian fatima federico felipe felix fernando filippo florian fran frances francesca francesco francis
    francisca francisco franz fred frederick frieda friedrich gabriel gabriela gabriele gareth gary geoffrey george
    gerald gerard gertrud giacomo giovanni gisela giulia giuseppe gloria gordon gregory grzegorz guadalupe guillaume
    gunter gustav gustavo hakan halina hanna hannah hannelore hans harold harry hartmut hassan hatice heather hector
    heidi heike heinrich heinz helen helena helga heloisa henri henry herbert hermann hiroshi holger horst howard
    hugo huseyin ian ibrahim ignacio igor ilse ines ingeborg ingrid irene irina isabel isabella isabelle ivan jack
    jacob jacqueline jacques jadwiga jaime jakob james jamie jan jana jane janet janice jaroslav jason javid javier
    jean jeffrey jennie jennifer jeremy jerry jesse jessica jesus jill jiri joachim joan joanna joao joaquin jochen
    johan johann johannes john jonas jonathan jorg jorge jose josef josefa joseph joshua joyce juan judith judy
    julia julian julie julio jurgen justin jutta kaitlyn kamil karen karin karl karolina katarzyna kate katherine
    kathleen kathryn katja kavita keith kelly kenji kenneth kerstin kevin khalid kimberly klaus kristen kristin
    kristina krzysztof kumar kyle lakshmi larissa larry lars latoya laura lauren laurent leah leila leon leonardo
    leslie liam lidia linda lisa logan lorena lorenzo louis louise luca lucas lucia luciano lucie luigi luis luisa
    luiz lukas lydia maciej magda magdalena malgorzata manfred manuel manuela marc marcel marcela marcin marco
    marcus marek margaret margarita maria mariam mariana marie marilyn mario marion mariusz marjorie mark marko
    markus marlene marta martha martin martina mary mateusz mathias matteo matthew matthias maureen mauricio
    maurizio meera megan mehmet melanie melissa michael michel michele michelle miguel mikhail mohamad mohamed
    mohammad mohammed mohan monica monika montserrat moritz muhammad murat mustafa nacho nadia nancy natalia natalie
    natalya natasha nathan neha nicholas nicola nicolas nicole nikhil nikolai nina nisha noah nora norbert norma
    octavio ola olaf oleg olga oliver olivia omar oscar ottavio owen pablo pamela patricia patrick paul paula
    pauline pavel pawel pedro peter petr petra philip philippe phillip pierre pilar piotr pooja prakash pranav priya
    rachel rafael raffaella rahul rainer rajesh rakesh ralf ralph ramesh ramon ramona raquel ravi raymond rebecca
    reinhard rekha renata renate ricardo riccardo richard rita robert roberta roberto robin rocio rodrigo roger
    rohan roland rolf ronald rosa rosemary roy ruben rudolf rui russell ruth ryan sabina sabine sabrina salma
    salvatore samantha samuel sandeep sandra sanjay sanjeev santiago sara sarah scott sean sebastian sergei sergey
    sergio shannon sharon shirley shreya sigrid silke silvia simon simona simone sofia sonia sophia sophie stefan
    stefania stefanie stefano stella stephan stephanie stephen steve steven stuart sunil sunita suresh susan susana
    susanne sushma sven svetlana sylvia tadeusz takashi tamara tanya tatiana teresa terry theodore theresa thiago
    thierry thomas thorsten tiffany timothy tobias todd tomas tomasz tommy tony traute travis tyler udo ugo ulrich
    umberto ursula uta uwe vaclav valentina valerie vanessa vera veronica vicente victor victoria vijay vikram
    vincent vincenzo vinicius virginia vivek vladimir volker walter waltraud wanda wayne wei wendy werner wilhelm
    william wojciech wolfgang xavier xiaoming yasmin yolanda yuki yusuf yvonne zachary zainab zbigniew zdenek zoe
    zofia
    """
)


def expect_names(words: Sequence[str]) -> Literal["surely", "perhaps"] | None:
    """Whether a column that is called so, in lower-case words, holds names of people."""
    rest = [w for w in words if not w.isdigit()]
    if not rest:
        return None
    if rest[-1] in _PARTS or "".join(rest[-2:]) in _PARTS:
        return "surely"
    if len(rest) > 1 and rest[-1] in ("name", "names"):
        if rest[-2] in _PEOPLE | _OF_PARTS:
            return "surely"
        return "perhaps" if rest[-2] in _OPEN else None
    alone = rest[-1] in _PEOPLE | _OPEN or rest[-1] == "fullname" or (len(rest) == 1 and rest[0] in _PLAIN)
    return "perhaps" if alone else None


def looks_like_a_name(text: str) -> bool:
    """One to six words of letters, apostrophes, hyphens and full stops, none of them a company's or a place's."""
    tokens = text.replace(",", " ").split()
    if not 1 <= len(tokens) <= 6 or len(text) > 60:
        return False
    bare = [t.strip(".()\"'\u2019") for t in tokens]
    if not all(t and all(c.isalpha() or c in "'\u2019-." for c in t) for t in bare):
        return False
    return any(len(t) > 1 for t in bare) and not any(t.lower() in _OF_THINGS for t in bare)


def names_a_person(text: str) -> bool:
    """Two words or more that look like a name, with a given name or a title in front, or behind a comma."""
    tokens = text.replace(",", " ").split()
    if len(tokens) < 2 or not looks_like_a_name(text):
        return False
    lead = text.split(",", 1)[1].split() if "," in text else tokens
    first = [fold_accents(t).lower().strip(".()\"'") for t in lead[:2]]
    return bool(first) and (first[0] in _GIVEN or not _TITLES.isdisjoint(first))


def fold_accents(text: str) -> str:
    """Without accents and other marks, in ASCII."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
