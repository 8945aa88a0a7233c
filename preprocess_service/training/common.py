"""Usual words that scenes need little: for loose sentences (loose.py), and so that the tokenizer knows them whole."""

from __future__ import annotations

COMMON = """head face eye eyes ear nose mouth lips tooth teeth tongue hair neck shoulder arm arms elbow wrist hand hands finger
fingers thumb chest back waist hip leg legs knee foot feet toe skin bone heart paw paws tail fur wing wings beak feathers horn
hoof claw mane whiskers body expression smile gaze posture gesture pose breath voice step steps grip movement motion shape size
edge edges corner surface texture pattern patterns detail details color colors light lights shadow shadows reflection glow beam
beams ray rays spark sparks flame flames fire smoke dust mist fog steam cloud clouds rain snow ice wind storm lightning thunder
rainbow sky sun sunlight moon moonlight star stars horizon dawn dusk morning afternoon evening night day summer winter spring
autumn season year hour minute second moment water wave waves ripple ripples splash drop drops bubble bubbles foam sand soil mud
dirt grass leaves petals branches roots bark seeds fruit vegetables meat rice sugar salt butter milk juice sauce oil wood metal
fabric thread ribbon string lace button pocket collar sleeve belt tie suit uniform jeans sweater shorts sandals sneakers boots
gloves glasses sunglasses jewelry earrings makeup uniform costume apron helmet floor ceiling roof stairs room house building
buildings skyscraper skyscrapers apartment cottage cabin hut tent counter table shelf wall walls windows doors lights lamps sign
signs poster street sidewalk traffic road path trail track tracks rail bridge field fields trees forest hills mountains rocks
cliffs cave coast shore ocean landscape scenery backdrop background foreground middle center distance surroundings environment
scene frame view angle focus lens zoom shot scale perspective depth blur exposure contrast tone hue palette style design
architecture structure interior exterior layer layers piece pieces part parts side sides top bottom front end line lines row
circle square triangle cube sphere cylinder rectangle spiral arc point dot stripe mark word words letter letters number title
text logo symbol flag banner screen display panel switch handle blade engine wheel wheels seat deck sail hull cockpit window
crowd audience team pair trio dozen few several many some each every both other another one first second third last next single
double half whole full empty open closed high low deep near far upper lower left right up down inside outside above below between
behind beside around across through along toward towards away against onto into within without over under before after during
while when where which who whose that this these those there here then now still again once always never often sometimes slowly
quickly steadily smoothly suddenly carefully closely firmly tightly loosely neatly partly fully nearly almost only just also even
very more most less much well together apart forward backward is are was were be been being has have had having do does did can
will would could should may might must begins begin beginning starts start stops stop stands stood standing sits sat sitting lies
lying lay comes came coming goes went going gets getting takes took taking makes made making gives gave sees saw seen seeing looks
looking turns turning moves moving runs ran running holds held holding wears wearing falls fell falling rises rose rising flows
flowing shines shining glows glowing sparkles glistens shimmers flickers reflects reflecting casts casting reveals revealing shows
showing features featuring fills filled surrounds surrounded covers covered stretches stretching reaches reaching leans leaning
carries carrying pours pouring spreads spreading changes changing transforms becomes becoming appears disappears continues follows
following leads captures enters entering leaves leaving passes passing crosses crossing approaches touches connects strikes spins
floats drifts sways bends twists folds stacks arranged placed positioned dressed adorned decorated painted carved lined scattered
dotted set made built shaped worn dim bright dark warm cool cold hot soft hard smooth rough sharp clear blurry clean dirty dry wet
fresh old new modern simple plain rich delicate intricate subtle bold strong weak thick thin heavy fluffy shiny glossy sleek
towering sprawling winding rolling lush dense sparse busy bustling quiet calm lively happy sad angry focused relaxed curious
playful serious gentle brave proud tired excited surprised traditional natural artificial digital realistic cinematic colorful
pale vivid muted golden silver pastel neon transparent visible hidden distant nearby surrounding""".split()

JOINING = """the the the the a a a of of and and and with with in in on on to its its their his her as as while from by at for over
into through under near is are that which where who it they he she an against behind beside around across then but or""".split()
