"""Words that nobody has seen: names and words of random syllables, numbers, short quotations. They make copying the only way."""

from __future__ import annotations

from random import Random

from .words import DEEDS, LOOKS, MOVES, NAMES, RARE, WORDS

ONSETS = """b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p ph pl pr qu r s
sc sh sk sl sm sn sp st str sw t th tr v w wh x y z""".split()
VOWELS = "a e i o u a e i o u ai au ea ee ei ia ie io oa oo ou y".split()
CODAS = [
    "",
    "",
    "",
    *"b ck d ft g k l ld ll lm ln m mp n nd ng nk nt p r rd rk rl rm rn rt s sh sk sp ss st t th x z".split(),
]
ENDINGS = (*("er", "y", "ian", "ium", "ist", "ette", "le", "ow", "ine", "ock", "aria", "on", "o", "a"), *[""] * 10)
NUMBERS = "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty fifty hundred".split()
DOUBLED = frozenset("bdgklmnprtvz")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def syllable(random: Random) -> str:
    """One, sayable."""
    return random.choice(ONSETS) + random.choice(VOWELS) + random.choice(CODAS)


def word(random: Random) -> str:
    """A new word of one to three syllables in small letters, some with a usual ending, a few of any letters."""
    if random.random() < 0.08:
        return "".join(random.choice(LETTERS) for _ in range(random.randint(3, 9)))
    return "".join(syllable(random) for _ in range(random.choice((1, 2, 2, 3)))) + random.choice(ENDINGS)


def name(random: Random) -> str:
    """A proper name: usual, new, or of capitals and digits."""
    chance = random.random()
    if chance < 0.25:
        return random.choice(NAMES)
    if chance < 0.9:
        return word(random).capitalize()
    return word(random)[:4].upper() + random.choice(("", "", "-")) + str(random.randint(1, 99))


def noun(random: Random) -> str:
    """For places where any thing may stand: rare or new."""
    chance = random.random()
    if chance < 0.3:
        return random.choice(RARE)
    if chance < 0.5:
        return random.choice(WORDS)
    return f"{word(random)}-{random.choice(WORDS)}" if chance < 0.55 else word(random)


def verb(random: Random) -> str:
    """The plain form of a verb, usual or new."""
    return random.choice((random.choice(MOVES), random.choice(DEEDS), word(random)))


def look(random: Random) -> str:
    """An adjective: usual, new, or joined of two words."""
    chance = random.random()
    if chance < 0.5:
        return random.choice(LOOKS)
    if chance < 0.75:
        return word(random) + random.choice(("", "ish", "ic", "al", "ous", "y", "ed"))
    return (
        f"{random.choice(WORDS)}-{random.choice(('like', 'shaped', 'colored', 'covered', 'filled', ing(verb(random))))}"
    )


def number(random: Random) -> str:
    """A number, in words or digits."""
    return random.choice(NUMBERS) if random.random() < 0.6 else str(random.randint(2, random.choice((12, 99, 2_000))))


def quotation(random: Random) -> str:
    """One to three words in quotation marks."""
    said = [random.choice((word(random), random.choice(WORDS))) for _ in range(random.randint(1, 3))]
    how = random.random()
    text = " ".join(said)
    text = text.upper() if how < 0.4 else text.title() if how < 0.8 else text
    return f'"{text}"' if random.random() < 0.8 else f"'{text}'"


def ing(plain: str) -> str:
    """The present participle, by rule."""
    if plain.endswith("ie"):
        return plain[:-2] + "ying"
    if plain.endswith("e") and not plain.endswith(("ee", "oe", "ye")):
        return plain[:-1] + "ing"
    return double(plain) + "ing"


def third(plain: str) -> str:
    """The form after he, she or it, by rule; also the plural of a noun."""
    if plain.endswith(("s", "sh", "ch", "x", "z")):
        return plain + "es"
    return plain[:-1] + "ies" if plain.endswith("y") and plain[-2:-1] not in set("aeiou") else plain + "s"


def past(plain: str) -> str:
    """The past participle of a regular verb."""
    if plain.endswith("e"):
        return plain + "d"
    return plain[:-1] + "ied" if plain.endswith("y") and plain[-2:-1] not in set("aeiou") else double(plain) + "ed"


def double(plain: str) -> str:
    """With its last letter doubled where one short vowel stands before it."""
    short = len(plain) in (3, 4) and plain[-1] in DOUBLED and plain[-2] in "aeiou" and plain[-3] not in "aeiou"
    return plain + plain[-1] if short else plain
