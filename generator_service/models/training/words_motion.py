"""How the training captions say a motion: composed from verbs and directions, in every form of the verb.

Rules of one motion: ``s`` (moves left), ``ing`` (moving left), ``base`` (move left), ``past`` (moved left), ``noun``
(a slow drift to the left), ``tag`` (leftward). Left and right, up and down are the same texts with the sides changed, so
that two scenes that differ in direction alone can be said in the same words. No text names a side that is not its own way.
"""

from __future__ import annotations

Ways = tuple[str, ...]
FORMS = ("base", "s", "ing", "past")
# base, -s, -ing, past
_TRAVEL = (
    "move/moves/moving/moved",
    "move/moves/moving/moved",
    "move/moves/moving/moved",
    "slide/slides/sliding/slid",
    "drift/drifts/drifting/drifted",
    "glide/glides/gliding/glided",
    "float/floats/floating/floated",
    "travel/travels/traveling/traveled",
    "head/heads/heading/headed",
    "go/goes/going/went",
    "pass/passes/passing/passed",
    "sweep/sweeps/sweeping/swept",
    "shift/shifts/shifting/shifted",
    "make its way/makes its way/making its way/made its way",
    "work its way/works its way/working its way/worked its way",
    "cruise/cruises/cruising/cruised",
    "creep/creeps/creeping/crept",
    "inch/inches/inching/inched",
    "sail/sails/sailing/sailed",
    "fly/flies/flying/flew",
    "proceed/proceeds/proceeding/proceeded",
    "advance/advances/advancing/advanced",
    "journey/journeys/journeying/journeyed",
    "slip/slips/slipping/slipped",
    "scroll/scrolls/scrolling/scrolled",
)
_SIDEWAYS = (
    "roll/rolls/rolling/rolled",
    "coast/coasts/coasting/coasted",
    "wander/wanders/wandering/wandered",
    "run/runs/running/ran",
)
_RISE = (
    "rise/rises/rising/rose",
    "rise/rises/rising/rose",
    "climb/climbs/climbing/climbed",
    "ascend/ascends/ascending/ascended",
    "soar/soars/soaring/soared",
    "lift itself/lifts itself/lifting itself/lifted itself",
    "levitate/levitates/levitating/levitated",
    "gain height/gains height/gaining height/gained height",
)
_FALL = (
    "fall/falls/falling/fell",
    "sink/sinks/sinking/sank",
    "drop/drops/dropping/dropped",
    "descend/descends/descending/descended",
    "plunge/plunges/plunging/plunged",
    "lower itself/lowers itself/lowering itself/lowered itself",
    "plummet/plummets/plummeting/plummeted",
    "lose height/loses height/losing height/lost height",
)
_GROW = (
    "grow/grows/growing/grew",
    "grow/grows/growing/grew",
    "expand/expands/expanding/expanded",
    "swell/swells/swelling/swelled",
    "enlarge/enlarges/enlarging/enlarged",
    "inflate/inflates/inflating/inflated",
    "approach/approaches/approaching/approached",
    "{get|become} <big>/{gets|becomes} <big>/{getting|becoming} <big>/{got|became} <big>",
    "{get|become} <big>/{gets|becomes} <big>/{getting|becoming} <big>/{got|became} <big>",
    "grow <big>/grows <big>/growing <big>/grew <big>",
    "{come|move|drift} <near>/{comes|moves|drifts} <near>/{coming|moving|drifting} <near>/{came|moved|drifted} <near>",
    "{come|move|draw} <near>/{comes|moves|draws} <near>/{coming|moving|drawing} <near>/{came|moved|drew} <near>",
    "{increase|grow|gain} in size/{increases|grows|gains} in size/{increasing|growing|gaining} in size/{increased|grew} in size",
    "scale to a larger size/scales to a larger size/scaling to a larger size/scaled to a larger size",
    "approach <us>/approaches <us>/approaching <us>/approached <us>",
    "{swell|expand} in size/{swells|expands} in size/{swelling|expanding} in size/{swelled|expanded} in size",
    "fill <more> of the <frame>/fills <more> of the <frame>/filling <more> of the <frame>/filled <more> of the <frame>",
    "zoom toward <us>/zooms toward <us>/zooming toward <us>/zoomed toward <us>",
    "double in size/doubles in size/doubling in size/doubled in size",
    "loom <big>/looms <big>/looming <big>/loomed <big>",
)
_STILL = (
    "stay <fixed>/stays <fixed>/staying <fixed>/stayed <fixed>",
    "remain <fixed>/remains <fixed>/remaining <fixed>/remained <fixed>",
    "keep <quite>still/keeps <quite>still/keeping <quite>still/kept <quite>still",
    "{stand|sit|hang|rest|lie} <fixed>/{stands|sits|hangs|rests|lies} <fixed>/{standing|sitting|hanging|resting|lying} <fixed>/"
    "{stood|sat|hung|rested|lay} <fixed>",
    "not move<atall>/does not move<atall>/not moving<atall>/did not move<atall>",
    "not move<atall>/doesn't move<atall>/not moving<atall>/didn't move<atall>",
    "never move/never moves/never moving/never moved",
    "hold {its position|still|its place}/holds {its position|still|its place}/holding {its position|still|its place}/"
    "held {its position|still|its place}",
    "stay where it is/stays where it is/staying where it is/stayed where it was",
    "rest in {place|one spot}/rests in {place|one spot}/resting in {place|one spot}/rested in {place|one spot}",
    "not {stir|budge|shift|change position}/does not {stir|budge|shift|change position}/"
    "not {stirring|budging|shifting|changing position}/did not {stir|budge|shift|change position}",
    "stand still/stands still/standing still/stood still",
    "remain {in place|in one place|at one spot}/remains {in place|in one place|at one spot}/"
    "remaining {in place|in one place|at one spot}/remained {in place|in one place|at one spot}",
    "show no {movement|motion}/shows no {movement|motion}/showing no {movement|motion}/showed no {movement|motion}",
)
# START and END are the sides; the first ways are the plain ones and come more often.
_DIR = (
    *("<to>", "to the END", "toward{|s} the END", "<to>", "to the END"),
    *("<to>ward", "<to>wards", "in {the|a} <to>ward direction"),
    "{to|toward|towards} the END {side|edge|end|border|part} {|of the <frame>}",
    "{to|toward|towards} the END of the <frame>",
    "from START to END",
    "from the START {|side |edge }to the END{| side| edge}",
    "from {the |}START {toward|towards} {the |}END",
    "from the START of the <frame> {to|toward} the END",
    "away from the START, toward the END",
    "{across|along} the <frame> {<to>ward|to the END|from START to END}",
    "in from the START and out {at|on} the END",
    "out of the START {side |edge |}and into the END",
    "further {<to>|<to>ward|toward the END}",
)
# Whole clauses that are no verb with a direction, in the four forms.
_CLAUSES = (
    "start {on|at} the START and end {on|at} the END/starts {on|at} the START and ends {on|at} the END/"
    "starting {on|at} the START and ending {on|at} the END/started {on|at} the START and ended {on|at} the END",
    "enter from the START and <move> <dir>/enters from the START and <moves> <dir>/"
    "entering from the START and <moving> <dir>/entered from the START and <moved> <dir>",
    "cross the <frame> <dir>/crosses the <frame> <dir>/crossing the <frame> <dir>/crossed the <frame> <dir>",
    "leave the START {side |edge |}and <move> <dir>/leaves the START {side |edge |}and <moves> <dir>/"
    "leaving the START {side |edge |}and <moving> <dir>/departed the START {side |edge |}and <moved> <dir>",
    "change position, <moving> <dir>/changes position, <moving> <dir>/changing position, <moving> <dir>/changed position, <moving> <dir>",
    "come from the START, <moving> <dir>/comes from the START, <moving> <dir>/coming from the START, <moving> <dir>/"
    "came from the START, <moving> <dir>",
)
_PACE = {
    "adv": (
        *("slowly", "slowly", "gently", "steadily", "smoothly", "quickly", "gradually", "calmly", "evenly", "softly"),
        *("quietly", "lazily", "patiently", "constantly", "leisurely", "gracefully", "clearly", "effortlessly"),
        *("ever so slowly", "very slowly", "slowly but surely", "continuously", "silently", "swiftly", "simply"),
    ),
    "late": (
        *("at {a|an} {constant|even|gentle|slow|calm|brisk|unhurried|steady} {pace|speed|rate|tempo}", "bit by bit"),
        *("without {a pause|stopping|hurry|haste|a sound|any fuss}", "little by little", "over time", "with time"),
        *("the whole time", "throughout the {clip|video|shot}", "for {a few seconds|a while}", "with {ease|grace}"),
        *("all the while", "as {time passes|we watch|the seconds pass|the clip plays}", "in one {smooth |}motion"),
    ),
    "frame": ("frame", "screen", "picture", "image", "view", "scene", "shot", "display"),
    "slow": ("slow", "gentle", "steady", "smooth", "quiet", "calm", "gradual", "constant", "quick", "soft", "graceful"),
}
_MOVING = {
    "s": (
        *("<moves>", "<moves>", "<moves>", "<adv> <moves>", "<moves> <late>", "<moves>, <adv>", "is <moving>"),
        *("is <adv> <moving>", "keeps <moving>", "can be seen <moving>", "is seen <moving> <late>", "begins to <move>"),
        *("will <move>", "is {shown|filmed|captured} <moving>", "starts <moving>", "is in motion, <moving>"),
        *("continues to <move>", "seems to <move>", "<moves> {and keeps going|in this way} <late>"),
    ),
    "ing": (
        "<moving>",
        "<moving>",
        "<moving>",
        "<adv> <moving>",
        "<moving> <adv>",
        "<moving> <late>",
        "in motion, <moving>",
    ),
    "base": ("<move>", "<move>", "<move>", "<adv> <move>", "<move> <late>", "<move> <adv>"),
    "past": ("<moved>", "<moved>", "<adv> <moved>", "<moved> <late>", "was <moving>", "was <adv> <moving>"),
}
_TAGS = ("<moving>", "<ing>", "<ing>", "<ing>", "<moves>", "<move>", "<shortnoun>")


def _forms(name: str, verbs: Ways, tail: str = "") -> dict[str, Ways]:
    """The four forms of the verbs as rules: name 0 to 3."""
    rows = [v.split("/") for v in verbs]
    return {f"{name}{i}": tuple(row[i] + tail for row in rows) for i in range(4)}


def _direction(start: str, end: str, to: str, own: Ways) -> dict[str, Ways]:
    """Everything that can be said of one direction; ``own`` verbs say it without a direction beside them."""
    raw = {
        **_forms("travel", (*_TRAVEL, *(() if own else _SIDEWAYS))),
        **_forms("own", own),
        **_forms("whole", _CLAUSES),
        "to": (to,),
        "dir": _DIR,
        "shortnoun": (
            "<to>ward {motion|movement|drift|slide|travel|glide}",
            "{motion|movement|drift|slide|glide} {to the END|<to>ward|<to>|from START to END|toward the END}",
        ),
        "noun": ("{a|the|its} {<slow> |}<shortnoun>", "{a|the|its} <slow> <shortnoun>"),
        "tag": (
            *_TAGS,
            *("<to>", "<to>ward", "START to END", "from START to END", "to the END", "<dir>", "moving <to>"),
        ),
    }
    for i, name in enumerate(("move", "moves", "moving", "moved")):
        free = (f"<own{i}>", f"<own{i}>", f"<own{i}> <dir>", f"<own{i}> <dir>") if own else ()
        raw[name] = (*(f"<travel{i}> <dir>",) * 5, *free)
    raw |= {key: (*ways, f"<whole{FORMS.index(key)}>") for key, ways in _MOVING.items()}
    return {k: tuple(w.replace("START", start).replace("END", end) for w in v) for k, v in raw.items()}


def _fixed(verbs: Ways, **more: Ways) -> dict[str, Ways]:
    """The rules of a motion that has no direction."""
    forms = _forms("own", verbs)
    return {**_MOVING, **{n: forms[f"own{i}"] for i, n in enumerate(("move", "moves", "moving", "moved"))}, **more}


_REST = {
    "s": (
        "<moves>",
        "<moves>",
        "<moves>",
        "is <fixed>",
        "is <fixed>",
        "is not moving<atall>",
        "<moves> <held>",
        "is at rest",
    ),
    "ing": ("<moving>", "<moving>", "<moving> <held>", "<fixed>"),
    "base": ("<move>", "<move> <held>", "be <fixed>"),
    "past": ("<moved>", "was <fixed>", "was not moving<atall>", "<moved> <held>"),
}
_RULES = {
    "left": _direction("right", "left", "left", ()),
    "right": _direction("left", "right", "right", ()),
    "up": _direction("bottom", "top", "up", _RISE),
    "down": _direction("top", "bottom", "down", _FALL),
    "still": _fixed(
        _STILL,
        quite=(
            "",
            "",
            "perfectly ",
            "completely ",
            "absolutely ",
            "quite ",
            "entirely ",
            "totally ",
            "very ",
            "utterly ",
        ),
        fixed=(
            *("<quite>still", "<quite>still", "<quite>motionless", "<quite>stationary", "<quite>static", "at rest"),
            *("<quite>immobile", "in place", "unmoving", "fixed in {place|position}", "without {moving|any movement}"),
            *(
                "frozen{| in place}",
                "where it is",
                "without motion",
                "in one place",
                "in a fixed spot",
                "<quite>unmoved",
            ),
        ),
        atall=("", "", "", " at all", " an inch", " in any way", " a bit"),
        held=(
            "the whole time",
            "for the whole clip",
            "throughout",
            "from the first frame to the last",
            "all the time",
            "for long",
        ),
        shortnoun=("{stillness|no movement|no motion|rest|immobility}", "{zero|no|without} {movement|motion}"),
        noun=(
            "the {perfect |complete |quiet |}stillness",
            "the {unmoving|motionless|stationary|still} {form|presence}",
        ),
        tag=(
            *("still", "static", "not moving", "motionless", "stationary", "<fixed>", "<fixed>", "<ing>", "<move>"),
            *("<shortnoun>", "no movement", "<moves>", "perfectly still", "frozen", "standing still"),
        ),
        **_REST,
    ),
    "grow": _fixed(
        _GROW,
        big=(
            "bigger",
            "larger",
            "bigger and bigger",
            "larger and larger",
            "ever larger",
            "steadily bigger",
            "<big>",
        ),
        near=(
            *(
                "closer",
                "nearer",
                "closer and closer",
                "nearer and nearer",
                "toward <us>",
                "closer to <us>",
                "near to <us>",
            ),
            *("straight at <us>", "towards <us>", "forward, toward <us>", "closer to the front"),
        ),
        us=("the camera", "the viewer", "us", "the lens", "the audience", "the screen", "the observer"),
        more=("more and more", "more", "ever more", "most"),
        shortnoun=("{growth|growth in size|approach|expansion|enlargement|increase in size|swelling}", "size increase"),
        noun=("{a|the|its} {<slow> |}{growth|approach|expansion|enlargement|swelling}",),
        tag=(
            *(
                *_TAGS,
                "growing",
                "grows",
                "getting bigger",
                "coming closer",
                "expanding",
                "approaching",
                "<big>",
                "<near>",
            ),
            *("growing in size", "from small to large", "small to big", "scaling larger", "increasing size"),
        ),
    ),
}
MOTION_RULES: dict[str, dict[str, Ways]] = {k: {**_PACE, **v} for k, v in _RULES.items()}
