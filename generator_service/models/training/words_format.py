"""The forms of the training captions: how the parts of a scene stand together in a sentence, an order, or a list of fields."""

from __future__ import annotations

FORMAT_RULES: dict[str, tuple[str, ...]] = {
    "core_text": ("<one>", "<one>", "<one>", "<one>", "<order>", "<order>", "<two>", "<two>", "<two>", "<three>"),
    # All in one sentence; the place first, in the middle or last.
    "one": (
        *(
            "<subject> <s> <place>.",
            "<subject> <s> <place>.",
            "<subject> <s> <place>.",
            "<place>, <subject> <s>.",
            "<place>, <subject> <s>.",
        ),
        *(
            "<subject> <place> <s>.",
            "<subject>, <place>, <s>.",
            "<subject> <past> <place>.",
            "<place>, <subject> <past>.",
        ),
        *(
            "<lead> <subject> <ing> <place>.",
            "<lead> <subject> <ing> <place>.",
            "<lead> <subject> {that|which} <s> <place>.",
        ),
        *(
            "<lead> <subject> <place>, <ing>.",
            "<lead> <subject> <place> {that|which} <s>.",
            "<lead> <place>: <subject> <ing>.",
        ),
        *("<subject>, <ing>, <place>.", "<subject> <place>, <ing>.", "<subject> <ing> <place>.", "<np> <ing> <place>"),
        *(
            "<ing>, <subject> {appears|is seen|is shown|is there} <place>.",
            "<ing> <place>, <subject> {fills our attention|is seen}.",
        ),
        *(
            "<noun> of <subject> <place>.",
            "<lead> <noun> of <subject> <place>.",
            "<subject> <place>: <noun>.",
            "<place>, <noun> of <subject>.",
        ),
        *(
            "there is <subject> <place>, and it <s>.",
            "<lead> <subject> <place>; it <s>.",
            "<subject>, which <s>, is <place>.",
        ),
        *(
            "<subject> <s> while {the background is|behind it is|all around is} <ground>.",
            "<subject> <s>, {with|and} <ground> behind it.",
        ),
        *("with <ground> {behind it|as {background|backdrop}}, <subject> <s>.", "what <s> <place> is <subject>."),
        *(
            "<subject>, <s>, <place>.",
            "<place> <subject> <s>.",
            "<place> there is <subject> <ing>.",
            "you see <subject> <ing>, all <place>.",
        ),
    ),
    "order": (
        *("<make> <subject> <ing> <place>.", "<make> <subject> <ing> <place>.", "<make> <subject> that <s> <place>."),
        *(
            "<make> <subject> <place>, <ing>.",
            "<make> <subject> <place> and {have|make|let} it <base>.",
            "<make> <noun> of <subject> <place>.",
        ),
        *("{make|let|have} <subject> <base> <place>{| please}.", "{make|let|have} <subject> <base>, <place>."),
        *(
            "<place>, {show|draw|put} <subject> <ing>.",
            "{can|could} {you|we} {show|make|draw|see|have} <subject> <ing> <place>?",
        ),
        *(
            "{can you|please} {make|let} <subject> <base> <place>?",
            "what {does it look like|happens} when <subject> <s> <place>?",
        ),
        *(
            "put <subject> <place>. {it should|make it|let it|it must|it has to|it will} <base>.",
            "<subject> should <base> <place>.",
        ),
        *(
            "{use|set|choose} <ground> as {background|backdrop}; <subject> {should|must|has to} <base>.",
            "imagine <subject> <ing> <place>.",
        ),
    ),
    "two": (
        *("{<lead> |}<subject> <appears> <place>. {<then> |}<it> <s>.", "<subject> <appears> <place>. <it> <s>."),
        *(
            "<subject> <s>. <behind> <ground>.",
            "{<lead> |}<subject> <ing>. <behind> <ground>.",
            "<behind> <ground>. <subject> <s>.",
        ),
        *("{the scene is set|everything happens|it takes place|it all happens} <place>. {<then> |}<subject> <s>.",),
        *(
            "{<lead> |}<subject> <place>. <it> <s>.",
            "<subject> <place>. <ing>.",
            "<ground>. <subject> <s>.",
            "<subject> <s>. <ground>.",
        ),
        *(
            "{<lead> |}<subject> <place>. {<its> {motion|movement|action}|what it does}: <tag>.",
            "<make> <subject> <place>. <it> <s>.",
        ),
        *(
            "{look at|watch|see|notice|follow} <subject> <place>: <it> <s>.",
            "<subject> <s>. {it is|this happens|all} <place>.",
        ),
    ),
    "three": (
        *("<there> <subject>. <it> <s>. <behind> <ground>.", "<there> <subject>. <behind> <ground>. <it> <s>."),
        *(
            "<behind> <ground>. <there> <subject>. {<then> |}<it> <s>.",
            "<subject>. <ground>. <ing>.",
            "<subject>. <ing>. <ground>.",
        ),
        *(
            "<subject> <s>. {the {color|colour} is <color>|it is <color>}. <behind> <ground>.",
            "<subject> <place>. <it> <s>. <it> <s>.",
        ),
        *("<there> <a> <shape>. {its {color|colour} is|it is} <hue>. <it> <s> <place>.", "<ground>. <subject>. <ing>."),
        *(
            "<there> <a> <shape>. it is <hue>, and it <s>. <behind> <ground>.",
            "<there> <subject>. {it is} <place>. <it> <s>.",
        ),
    ),
    "terse": (
        *(
            "<short> <tag> <groundtag>",
            "<short> <tag> <groundtag>",
            "<short>, <tag>, <groundtag>",
            "<short>, <tag>, <groundtag>",
        ),
        *(
            "<groundtag>, <short>, <tag>",
            "<groundtag>: <short> <tag>",
            "<short> <groundtag> <tag>",
            "<tag>: <short>, <groundtag>",
        ),
        *(
            "<tag> <short>, <groundtag>",
            "<short> <ing> <place>",
            "<short> <s>, <groundtag>",
            "<short> <place> <ing>",
            "<short> <tag>, <ground>",
        ),
        *(
            "<color> <shape> <tag> <groundtag>",
            "<color> <shape>, <tag>, <groundtag>",
            "<shape> {color |}<color>, <tag>, <groundtag>",
        ),
    ),
    # A fact said once more.
    "again": (
        "the <color> of the <shape> {stands out|shines|glows|is vivid} <place>.",
        "the <shape> <s>{ without a pause|}.",
        "everything {happens|takes place|is set} <place>.",
        "{again and again|once more|all through the clip}, the <color> <shape> <s>.",
        "<behind> <ground>, and the <shape> is <color>.",
        "{the|its} {color|colour} is {clearly |a clear |}<color>, the backdrop <ground>.",
    ),
    "lead": (
        *("a {video|clip|short film|short video|animation|movie|loop|shot|GIF} {of|with|showing|featuring|about}",) * 3,
        *(
            "{the|this} {video|clip|scene|animation|film|footage|shot} {shows|captures|features|opens with|presents|depicts|is about}",
        )
        * 3,
        *(
            "footage of",
            "we {see|watch|observe|follow}",
            "{here|there} is",
            "in this {video|clip|scene},",
            "the camera {shows|films|captures}",
        ),
        *(
            "a {cinematic|simple|smooth|minimalist|short|calm|mesmerizing|looping} {video|shot|animation|clip} of",
            "imagine",
            "behold",
        ),
        *("a close view of", "the frame is filled by", "in the {center|middle} of the {frame|picture},", "picture"),
    ),
    "make": (
        *(
            "show{| me}",
            "create {a|one} {video|clip|short film|animation} of",
            "make a {video|clip|short video|animation} {of|with|showing}",
        ),
        *(
            "I {want|would like|need} {to see|a video of|a clip of|an animation with}",
            "generate{| a video of| a clip of}",
            "animate",
            "draw",
        ),
        *(
            "please {show|generate|render|animate|draw|make}",
            "render",
            "give me{| a video of| a clip of}",
            "produce a clip {of|with}",
            "film",
        ),
        *(
            "{can you make|could you create} a {video|clip} of",
            "let me see",
            "let us see",
            "I'd like {to see|a video of}",
            "visualize",
            "depict",
        ),
    ),
    "appears": (
        *(
            "is {seen|shown|placed|visible|located|displayed|presented|set|there}",
            "appears",
            "can be seen",
            "takes the frame",
            "sits",
        ),
        *("has been placed", "is the only {thing|object}", "is in {focus|view|the middle}", "hovers"),
    ),
    "then": (
        *(
            "slowly,",
            "then",
            "throughout the clip,",
            "over time",
            "during the shot,",
            "now",
            "as we watch,",
            "in the video,",
            "gently,",
        ),
        *("meanwhile,", "from the first second,", "in this shot,", "with calm,", "here"),
    ),
    "its": ("its", "the"),
    "behind": (
        *(
            "the {background|backdrop|scene|setting} is",
            "behind {it|the <shape>} {is|there is|lies|we see}",
            "{it|everything} is set against",
        ),
        *(
            "the {background|backdrop} {shows|is made of|consists of|behind it is}",
            "around it is",
            "all around: ",
            "background:",
        ),
    ),
    "there": (
        "there is",
        "we see",
        "here is",
        "you can see",
        "the {video|clip} shows",
        "in the frame is",
        "look,",
        "at first there is",
    ),
    "key_subject": (
        "subject",
        "object",
        "shape",
        "what",
        "main object",
        "main subject",
        "thing",
        "hero",
        "foreground",
        "actor",
        "content",
    ),
    "key_shape": ("shape", "shape", "form", "object", "subject"),
    "key_motion": (
        "motion",
        "action",
        "movement",
        "direction",
        "moves",
        "animation",
        "motion type",
        "behavior",
        "doing",
        "dynamics",
    ),
    "key_ground": (
        "background",
        "background",
        "scene",
        "setting",
        "backdrop",
        "place",
        "where",
        "environment",
        "location",
        "bg",
    ),
    "key_style": ("style", "quality", "camera", "mood", "look", "light", "lighting", "format", "notes"),
    "groundvalue": ("<groundtag>", "<ground>", "<groundtag>"),
}
