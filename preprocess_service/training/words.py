"""Words of the scenes, by class. Whoever adds one need not be complete: invented words (invent.py) teach the copying."""

from __future__ import annotations

PEOPLE = """man woman boy girl child dancer farmer fisherman soldier painter pianist violinist chef baker waiter nurse doctor
teacher student scientist engineer astronaut pilot sailor captain knight wizard witch princess king queen monk priest samurai
ninja cowboy pirate hunter ranger climber hiker runner swimmer surfer skater skier cyclist boxer gymnast acrobat juggler clown
magician tailor carpenter potter blacksmith gardener shepherd miner mechanic driver policeman firefighter detective librarian
musician drummer guitarist singer actor athlete tourist traveller grandmother grandfather mother father toddler teenager bride
vendor merchant craftsman sculptor photographer reporter barista robot android ghost vampire giant elf dwarf fairy mermaid
person couple family crowd group""".split()

ANIMALS = """cat kitten dog puppy horse foal cow calf goat sheep lamb pig rabbit hare fox wolf bear panda koala lion tiger leopard
cheetah elephant giraffe zebra rhinoceros hippo buffalo camel llama deer stag moose squirrel hedgehog badger otter beaver mouse
rat bat monkey gorilla kangaroo raccoon eagle hawk falcon owl raven crow sparrow swan goose duck heron flamingo parrot peacock
penguin seagull pigeon hummingbird rooster hen chick turkey turtle tortoise lizard snake crocodile frog toad fish shark whale
dolphin octopus squid jellyfish crab lobster seal walrus salmon goldfish butterfly moth bee wasp ant beetle spider dragonfly
snail worm dragon unicorn phoenix dinosaur""".split()

THINGS = """ball balloon box crate barrel basket bucket bottle jar cup mug glass bowl plate spoon fork knife kettle teapot pot pan
candle lamp lantern torch book letter map scroll newspaper pencil brush canvas easel camera telescope microscope clock watch
mirror umbrella hat cap helmet crown mask scarf glove coat jacket dress robe cloak shirt skirt boot shoe ring necklace sword
shield spear bow arrow hammer axe saw shovel rope chain key coin bag suitcase backpack chair table desk sofa bed shelf cabinet
door window gate fence wall ladder staircase bridge tower statue fountain bench kite flag drum guitar violin piano flute trumpet
bell doll toy puppet cake bread apple orange banana lemon pear cherry grape strawberry tomato carrot onion cheese sandwich pizza
burger noodles soup coffee tea wine flower rose tulip sunflower lily daisy vase leaf branch log stone pebble shell feather
crystal gem vine mushroom cactus tree bush laptop phone keyboard screen radio television machine engine gear wheel pipe tank
anvil furnace stove oven sink tap blanket pillow curtain carpet rug towel""".split()

VEHICLES = """car truck van bus taxi tram train locomotive motorcycle bicycle scooter skateboard carriage wagon cart tractor boat
ship ferry yacht canoe kayak raft submarine airplane helicopter glider drone rocket spaceship satellite rover""".split()

PLACES = """street alley road highway square market harbour pier beach shore bay island cliff canyon valley meadow field farm barn
orchard garden park forest jungle grove swamp desert dune oasis mountain hill peak glacier cave mine river stream lake pond
waterfall ocean sea reef village town city castle palace temple church cathedral monastery ruin library museum gallery theatre
stage stadium arena gym pool rooftop balcony terrace courtyard kitchen bedroom bathroom hallway attic basement workshop
laboratory factory warehouse office classroom hospital airport station platform tunnel subway cafe restaurant bar bakery shop
studio greenhouse vineyard plaza playground campsite lighthouse windmill savanna tundra plain planet moon""".split()

COLOURS = """red crimson scarlet orange amber yellow golden green emerald olive teal turquoise blue navy azure cyan purple violet
lavender pink magenta brown tan beige ivory white black grey silver bronze copper maroon indigo""".split()

MATERIALS = """wooden metal steel iron brass stone marble granite brick concrete glass crystal ceramic porcelain clay leather silk
velvet wool cotton linen denim paper plastic rubber rusty frozen wet dry glossy matte transparent striped spotted checkered
patterned embroidered woven carved painted polished cracked broken torn dusty muddy snowy sandy grassy mossy rocky""".split()

LOOKS = """old young elderly middle-aged tall short small tiny little large big huge giant long thin slim fat round square curly
straight bald bearded blond barefoot masked hooded armoured tattooed wrinkled muscular fluffy furry feathered scaly spiky smooth
sharp bright dark pale deep shallow narrow wide steep flat crowded empty abandoned ancient modern futuristic medieval rustic
vintage antique industrial urban rural tropical arctic coastal sunny rainy foggy stormy cloudy misty moonlit sunlit dimly-lit
heavy light fast slow loud quiet warm cold hot young winged mechanical anthropomorphic""".split()

PRAISE = """breathtaking mesmerizing stunning enchanting captivating majestic magnificent serene tranquil picturesque whimsical
ethereal vibrant exquisite remarkable extraordinary incredible awe-inspiring spellbinding timeless dreamlike evocative dramatic
striking delightful charming graceful elegant gorgeous wondrous glorious sublime splendid lovely beautiful unforgettable
heartwarming hypnotic immersive poetic intimate surreal otherworldly""".split()

MANNERS = """gracefully gently softly elegantly effortlessly serenely majestically beautifully peacefully delicately subtly
harmoniously playfully tenderly fluidly seamlessly rhythmically mysteriously confidently thoughtfully intently lazily leisurely
eagerly proudly""".split()

MOODS = """serenity tranquility wonder mystery nostalgia anticipation joy calm freedom adventure harmony peace warmth intimacy
grandeur magic elegance solitude melancholy excitement hope beauty depth drama movement energy resilience determination romance
curiosity whimsy reverence timelessness isolation""".split()

MOVES = """walk run jog jump leap hop skip dance spin twirl turn crawl climb fall slide roll fly glide soar dive swim float drift
sail row ride drive march stroll wander stand sit kneel crouch lie sleep rest wait hide appear vanish emerge burn melt freeze
bloom grow shrink explode collapse crumble shake tremble sway swing bounce rotate hover circle gallop trot graze perch land
laugh smile cry shout sing whisper talk argue yawn wave nod bow pray meditate train fight box wrestle skate ski surf""".split()

DEEDS = """hold carry lift throw catch kick push pull drag drop open close break cut chop slice stir pour fill drink eat bite chew
lick taste smell touch stroke pet feed wash clean wipe polish paint draw write read fold tie knit sew build repair assemble forge
hammer saw drill dig plant water pick harvest chase follow lead hug kiss greet watch examine inspect point raise lower shake
squeeze press crush flatten burn light play ride drive steer wear remove hand give take buy sell photograph film""".split()

NAMES = """Anna Marcus Lena Oskar Priya Diego Yuki Amara Elias Freya Hassan Ingrid Jonas Kira Leopold Mina Nadia Otto Rosa Samir
Tessa Viktor Wanda Xavier Zoe Paris London Tokyo Venice Cairo Berlin Rome Istanbul Kyoto Oslo Lisbon Chicago Boston Texas Iceland
Norway Egypt Japan Brazil Mars Saturn Jupiter Atlantic Sahara Alps Everest Monday Christmas Halloween Victorian Gothic Viking
Roman Egyptian Japanese Chinese Italian French Mexican African""".split()

RARE = """astrolabe zeppelin marimba theremin harpsichord bagpipes gondola trebuchet abacus sextant quokka axolotl pangolin
narwhal capybara okapi tarsier ibex kestrel cormorant ptarmigan sarcophagus obelisk ziggurat pagoda minaret gargoyle chandelier
samovar tapestry kimono sari poncho sombrero fedora monocle parasol gramophone typewriter metronome kaleidoscope snowglobe
trampoline carousel catapult loom spindle lathe bellows crucible pipette centrifuge turbine dynamo gyroscope periscope anchor
rudder mast oar jib fjord atoll geyser lagoon mesa steppe moraine stalactite quartz obsidian basalt amethyst malachite peony
hibiscus wisteria bougainvillea fern bamboo baobab sequoia juniper eucalyptus thistle dandelion papaya lychee pomegranate
artichoke zucchini croissant baguette dumpling ramen paella tiramisu macaron pretzel haggis""".split()

WORDS = tuple(
    dict.fromkeys(PEOPLE + ANIMALS + THINGS + VEHICLES + PLACES + COLOURS + MATERIALS + LOOKS + MOVES + DEEDS + RARE)
)
