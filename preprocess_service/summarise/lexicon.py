"""Word lists about how people write video prompts: what a video shows, and what only praises it.

General knowledge of the genre, grouped by the part a word plays. All lower case.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = _words("a an the")
COPULAS = _words("is are was were being am")
POSSESSIVES = _words("its their his her my our your")
PRONOUNS = _words(
    "it they he she them him we us you i this these those there one each itself themselves himself herself"
)
PREPOSITIONS = _words(
    """with in on at by under over above below beneath beside besides behind near into onto from through throughout
    across against along alongside around among amid amidst toward towards between during inside outside
    upon within without down up past off atop before after for to like beyond despite"""
)
BINDERS = _words("of")
CONNECTIVES = _words(
    "as while when where which that who whose then until because so but although though and or if nor yet"
)
AUXILIARIES = _words("has have had do does did will would can could may might must shall should be been")
FUNCTION = ARTICLES | COPULAS | POSSESSIVES | PRONOUNS | PREPOSITIONS | BINDERS | CONNECTIVES | AUXILIARIES
NEGATIONS = _words("no not never without none nobody nothing neither nor cannot nowhere lacks lacking absent")

COLOURS = _words(
    """red orange yellow green blue purple violet pink white black grey gray brown gold golden silver beige cream
    crimson scarlet teal turquoise cyan magenta maroon navy ivory tan amber emerald indigo lavender
    monochrome sepia 红 橙 黄 绿 蓝 紫 白 黑 灰 粉 棕"""
)
DIRECTIONS = _words(
    """left right top bottom upward upwards downward downwards forward forwards backward backwards clockwise
    counterclockwise sideways front back up down 左 右"""
)
COUNTS = _words(
    """two three four five six seven eight nine ten eleven twelve dozen several many couple pair both single
    hundreds thousands 两 三"""
)
CAMERA = _words(
    """zoom zooms zooming pan pans panning tilt tilts tilting orbit orbits orbiting dolly tracking handheld drone
    aerial static timelapse time-lapse closeup close-up wide low-angle high-angle overhead bird's-eye pov
    first-person slow-motion shaking shaky rack timelapses hyperlapse panoramic macro bokeh underwater
    circles circling arc crane"""
)
STYLE = _words(
    """anime animated animation cartoon watercolor oil painting sketch cyberpunk steampunk pixel claymation ukiyo
    ukiyo-e surrealism impressionist impressionism noir vintage retro 3d pixar ghibli minimalist realistic
    photorealistic black-and-white hokusai gogh"""
)

FILLER = _words(
    """beautiful beautifully stunning stunningly gorgeous breathtaking mesmerizing captivating enchanting majestic
    majestically magnificent spectacular picturesque idyllic serene serenely tranquil peaceful peacefully
    calm calming soothing cozy inviting welcoming charming delightful lovely elegant elegantly graceful
    gracefully exquisite sophisticated refined luxurious sleek stylish timeless iconic classic quaint rustic
    whimsical magical ethereal otherworldly dreamy surreal fantastical mystical enigmatic mysterious
    dramatic dramatically dynamic vivid vividly vibrant lively bustling energetic joyful joyous cheerful
    playful playfully delicate delicately intricate intricately ornate meticulous meticulously detailed rich
    lush verdant pristine crisp fresh plush soft softly gentle gently subtle subtly warm fluid seamless
    seamlessly effortless effortlessly harmonious harmoniously natural naturally ambient overall visual
    visually various diverse distinct distinctive unique striking impressive remarkable extraordinary
    incredible amazing perfect perfectly casual casually comfortable comfortably relaxed intimate nostalgic
    evocative contemplative pensive thoughtful curious curiously determined focused confident confidently
    expressive radiant gleaming glistening glossy polished shimmering sparkling twinkling dappled diffused
    muted earthy neutral contemporary modern traditional authentic everyday typical ordinary sturdy neat
    neatly expansive sprawling vast spacious grand imposing towering dense weathered rugged aged textured
    sunlit medium nearby slightly carefully occasionally simply truly deeply highly fully completely
    entirely clearly intently skillfully expertly precisely methodically rhythmically lazily eagerly proudly
    prominently partially solely momentarily palpable genuine infectious undeniable high-quality
    high-definition ultra 8k 4k hd masterpiece best quality very really quite extremely incredibly somewhat
    rather almost nearly just also even surrounding different simple clean bright brightly bold colorful"""
)
"""Words that colour a mood or praise the picture: the first to go when tokens are short."""

PRAISE = _words(
    """beautifully breathtaking stunning stunningly gorgeous mesmerizing mesmerizingly captivating captivatingly enchanting
    magnificent magnificently spectacular spectacularly exquisite exquisitely delightful delightfully impressive
    impressively remarkable remarkably extraordinary incredible amazing amazingly awe-inspiring unforgettable
    masterpiece infectious undeniable palpable genuine truly simply very really quite extremely incredibly somewhat rather
    just even perfectly"""
)
"""Words that say nothing about the picture but that it is good, or how much so."""

ADJECTIVES = _words(
    """young old elderly big small large little tiny huge giant massive enormous tall short long thin thick wide narrow
    high low deep shallow heavy dark pale deep cold hot cool wet dry empty full new ancient wooden metal metallic
    stone steel concrete brick leather silk cotton velvet paper plastic ceramic marble bronze copper tropical
    urban rural industrial medieval futuristic digital electric electronic distant faint dim silent quiet loud
    gentle fierce wild tame strong weak hard soft round square flat curved straight curly smooth rough sharp
    blunt fluffy furry shiny matte transparent translucent striped spotted checkered floral snowy icy sandy rocky
    grassy muddy dusty smoky misty foggy cloudy rainy stormy windy sunny starry golden silvery several many few
    other same whole entire main local public private royal human wise knowing own such certain possible clear
    white-haired long-haired bearded wide-eyed dimly well-lit brown dark-haired fiery leafy hazy hidden tense eerie
    relentless perilous sinister ominous potential final initial subsequent innate sheer pure true profound"""
)
"""Words that stand before a noun and leave a whole phrase when they go."""
ADJECTIVE_ENDINGS = ("ful", "ous", "ive", "less", "able", "ible", "ical", "ish", "esque", "ary", "like")
NOT_ADJECTIVES = _words(
    """table vegetable vegetables fish dish finish dictionary library sanctuary diary olive archive dive drive hive
    detective native locomotive cable spoonful handful missionary secretary"""
)

ABSTRACT = _words(
    """sense feeling mood atmosphere ambiance ambience essence beauty elegance charm grace harmony serenity
    tranquility tranquillity peace peacefulness calmness warmth coziness comfort nostalgia wonder awe
    mystery allure energy vibrancy vitality spirit excitement joy delight happiness contentment anticipation
    determination resilience strength concentration focus precision craftsmanship artistry sophistication
    simplicity grandeur majesty splendor depth dimension realism clarity contrast interplay juxtaposition
    symphony tapestry spectacle testament blend mix touch hint air aura vibe experience moment journey
    narrative story connection bond relationship intimacy solitude reflection relaxation freedom adventure
    exploration creativity imagination emotion emotions significance importance nature details detail
    textures texture intricacies aesthetic aesthetics design composition overall quality hues tones
    highlights viewer viewers audience attention scene video clip footage shot image picture frame backdrop
    setting background foreground environment surroundings presence movement movements motion expression
    expressions demeanor posture attire outfit activity activities interaction life element elements visual
    visuals variety array display sight view perspective angle feel rhythm"""
)
"""Nouns that name no thing a camera could see."""

HOLDERS = ABSTRACT | _words(
    """expanse array range series sort kind type collection number amount sea world realm wealth host plethora
    multitude myriad cascade flurry wave burst shade shades hue tone layers mixture combination backdrop state
    act edge edges surface heart midst top side front form forms shape kaleidoscope canvas celebration"""
)
"""Nouns that, before ``of``, only hold what follows."""

LIGHT_VERBS = _words(
    """begin begins began beginning start starts started starting continue continues continued continuing seem seems
    seemed seeming appear appears appeared appearing proceed proceeds try tries trying tried manage manages"""
)
"""Verbs that, before ``to``, leave the telling to the next one."""

META_VERBS = _words(
    """creating creates create adding adds add enhancing enhances enhance highlighting highlights highlight
    emphasizing emphasizes emphasize evoking evokes evoke conveying conveys convey exuding exudes showcasing
    showcases showcase capturing captures capture reflecting suggesting suggests symbolizing embodying
    embodies inviting invites reminiscent providing provides offering offers giving gives lending imbuing
    infusing contributing contributes accentuating accentuates completing completes making makes reinforcing
    underscoring radiating contrasting blending complementing complements allowing ensuring bringing brings
    depicting depicts featuring features revealing reveals portraying illustrating illustrates indicating
    immersing transporting drawing hinting hints setting promising demonstrating"""
)
"""Verbs whose clause comments on the picture more often than it shows something."""

LIGHT = _words(
    """light lights lighting lit sunlight moonlight glow glows glowing shadow shadows cast casts casting bathed
    bathes bathing illuminated illuminates illuminating filtering filters streaming streams breeze sways
    swaying rustles rustling glistens shimmers gleams mist haze rays sun sky clouds horizon"""
)
"""Light and weather: shown, but seldom the point."""

TEMPO = _words(
    """slowly gradually steadily suddenly leisurely quickly smoothly smooth together rapidly swiftly briskly fast
    slow abruptly instantly continuously simultaneously"""
)
"""How something moves: adverbs that a video does show."""

ORDER = _words(
    """first firstly second third fourth fifth next then later finally eventually lastly afterward afterwards meanwhile
    initially suddenly soon again once until"""
)
"""Words that tell one step after another."""

PARTICIPLES = _words(
    """adorned surrounded bathed dressed illuminated filled covered topped dotted framed lined captured nestled
    perched draped wrapped accompanied decorated crowned clad shrouded scattered rendered styled"""
)
"""Participles that open a phrase of their own after a noun: ``a table | adorned with flowers``."""
NOUNS_IN_ING = _words(
    """building morning evening lighting ceiling painting clothing setting string spring thing something anything
    nothing everything lightning wedding crossing clearing railing marking drawing opening dressing earring
    awning sibling duckling during being meeting gathering processing parking dining living washing"""
)

STARTERS_ZH = _words("与 和 在 从 并 而 且 被 把 向 以 像 使 让 将 或")
"""Characters that open a phrase inside a Chinese clause."""
BOUND_ZH = _words(
    """和谐 从容 向往 以上 以下 以前 以后 以来 将军 让步 像素 从事 从前 而已 与众 和平 和煦 向日 被子 并排 并肩
    正在 存在 现在 所在 实在 潜在 不在 所以 可以 方向 转向 朝向 走向 倾向 好像 图像 雕像 影像 画像 偶像
    头像 肖像 想像 录像 摄像 即使 天使 棉被 然而 反而 因而 从而 以及 并且 而且 温和 柔和 缓和 暖和 参与
    给与 即将 或者"""
)
"""Words in which such a character opens nothing."""
