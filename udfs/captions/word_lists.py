"""Closed-class words and the word lists behind rewriting by rules; all lower case.

The lists were grown by reading COCO-style captions. They hold what an open dictionary cannot say, such as which nouns are places
that can stand alone as a caption and which verbs still make sense without their object.
"""


def word_set(text: str) -> frozenset[str]:
    """The space-separated words of a string."""
    return frozenset(text.split())


DETERMINERS = word_set(
    "a an the this that these those some any each every another other both all either neither many several few"
)
POSSESSIVES = word_set("his her its their my your our whose")
PRONOUNS = word_set(
    "what it he she they him them we us i you one's itself himself herself themselves each_other"
    " someone something nothing everyone everything anyone others"
)
NUMBERS = word_set(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty"
    " thirty forty fifty dozen half hundred couple"
)
PLURAL_QUANTIFIERS = word_set(
    "these those many several few both all two three four five six seven eight nine ten eleven twelve dozen"
)
PREPOSITIONS = word_set(
    "in on at by with of from to into onto over under above below behind beside besides near against"
    " through across along around among amongst between beneath underneath inside outside toward towards"
    " off down up past for about upon within during like alongside atop out after before amid via aboard"
    " per throughout beyond opposite"
)
PARTICLES = word_set("down up off out over around back away along by through in on about forward ahead past across together")
CONJUNCTIONS = word_set("and or but & plus nor")
RELATIVES = word_set("that which who")
SUBORDINATORS = word_set("while as when where how why because if so until though although since whilst than")
BE = word_set("is are was were be been being am 's 're")
AUXILIARIES = BE | word_set("has have had do does did can could will would may might must should")
ADVERBS = word_set(
    "well newly freshly very outside outdoors indoors inside nearby together here there away forward"
    " ahead downhill uphill overhead underwater just also too almost not still out really quite upside"
    " sideways apart home alone back right left high low close ready next downtown upstairs downstairs"
    " abroad aside behind underneath somewhere upright airborne"
)
COLOURS = word_set(
    "red blue green yellow black white brown grey gray pink purple orange golden gold silver tan beige"
    " maroon blonde blond dark light bright colored coloured colorful teal turquoise navy"
)
ADJECTIVES = COLOURS | word_set(
    "small large big little young old tall short long new clean dirty wooden metal wet dry empty full"
    " open closed busy sunny cloudy grassy sandy snowy rocky dirt brick concrete stone glass plastic"
    " modern antique vintage fancy nice beautiful pretty cute double single various different several"
    " multiple other older younger tiny huge giant elderly adult baby male female snow-covered stuffed"
    " fresh public top upper lower next first second same stainless steel asian hot cold warm dark foggy"
    " rainy overcast middle-aged wild domestic indoor outdoor fluffy furry fat skinny thin thick flat"
    " round square narrow wide steep asleep ready able afraid alone alive awake professional messy neat"
    " cluttered crowded deserted paved lush tropical urban"
)
NOUNS_IN_ING = word_set(
    "building buildings ceiling clothing railing painting paintings string ring rings evening morning"
    " king thing things wing wings frosting topping toppings icing stuffing awning crossing landing"
    " setting wedding spring duckling siding bedding lightning covering parking dining living lighting"
    " tasting vending bathing swing cooking shopping pudding dumpling seating furnishing earring earrings stocking sibling"
)
DOINGS = word_set("cooking shopping painting landing crossing parking lighting building swing living dining setting")
NOUNS_NOT_VERBS = word_set(
    "lines rows parks shops stops signs lights plants boats skis waves plates glasses flowers tables"
    " drinks trees cars trains ties beds fries vegetables fruits people men women children kids street"
    " road field table water grass board boards surfboard surfboards skateboard skateboards bat ball"
    " court park lot room kitchen bathroom bottle bowl cup plate dish dishes phone computer couch bench"
    " tree sheep food snow sand sky beach ocean fence wall window floor counter hand hands head face"
    " mouth back side top front middle pans pots books shelves toys desk ramp track tracks slope hill"
    " hat shirt helmet suit jacket shorts pants dress uniform tie umbrella giraffes zebras elephants"
    " bears birds ducks dogs cats horses cows wine beer coffee tea rain sun wood brick stone cake pizza"
    " donuts oranges apples bananas carrots broccoli sandwich pieces slices bunch group herd flock pair"
    " couple lots vases vase clock clocks tower towers buses trucks motorcycles bikes bicycles bicycle"
    " motorcycle truck bus car train boat kites suitcases luggage bags bag purse backpack backpacks"
    " chair chairs stools shade shadow night day time game match frisbee racket racquet mitt glove"
    " player players batter pitcher catcher umpire crowd team teams skier skiers surfer surfers"
    " snowboard snowboards slopes mountain mountains hills meal lunch dinner breakfast ground cream pot"
    " pan stove oven fridge toilet sink tub shower mirror tile tiles laptop laptops monitor keyboard"
    " mouse remote controller tray box boxes paper papers"
)
# Verbs that captions use; a word that is also a noun is read as a verb only when its lemma is here.
CAPTION_VERBS = word_set(
    "blow curl miss trot crawl shop yawn nurse huddle serve mow sip sit stand ride hold walk play lay lie"
    " look eat fly run jump swing watch rest hang pose wear talk use cut drive throw catch take hit pull"
    " carry prepare perform lean ski surf skateboard snowboard show travel wait sleep read work move"
    " make get go do try feature contain include have cross graze swim cook drink smile laugh reach kick"
    " chase feed pet wash brush open close fill cover surround park stop turn point stare gaze glide"
    " float sail race land climb kneel crouch squat bend dance sing kiss hug touch shake pick place put"
    " set line stick peek roam gather hover approach enter leave pass follow lead push drag roll slide"
    " perch decorate display attach tie mount dress see share enjoy speak compete practice attempt begin"
    " start face sniff lick bite chew clean bathe drop raise lift cast shine seem appear relax nap"
    " lounge snuggle cuddle flip grind skate bike cycle hike wade splash paddle row fish check text type"
    " call give bring ask help let keep grab slice chop bake fry stir pour mix roast spread wave cheer"
    " celebrate board unload load arrive depart head come fall browse bat pitch tend guide herd stretch"
    " wrap balance bounce observe overlook tinker peer wander listen nuzzle wipe examine dig cry grasp forage soar"
    " windsurf embrace leap await glare inspect purchase pretend emerge descend ascend pause nibble strut consist say"
    " include offer amble stroll knit juggle chat repair kayak hop greet sniffle shout sell"
)
# Verbs that only people and animals can do: a place or thing never takes one over from a removed agent.
SENTIENT = word_set(
    "hold carry wear eat drink look watch smile laugh talk ride play use observe tinker peer wander listen sip sit walk"
    " jump pose cut throw catch hit kick swing sleep read cook try prepare enjoy chase lick bite sniff graze swim ski surf"
    " skateboard snowboard stare gaze reach pick kneel crouch speak sing dance kiss hug pet feed brush wash chew nap relax"
    " compete practice perform work write wait nuzzle shout chat wipe examine inspect browse yawn crawl stroll amble"
)
# Verbs that a place can be the subject of: "a road leading to a farm".
PLACES_DO = word_set("run lead wind cross go surround overlook face contain feature fill have hold cover be separate divide")
# Containers stay when their contents are removed: "a basket of apples" becomes "a basket".
CONTAINERS = word_set(
    "basket baskets plate plates tray trays box boxes bag bags jar jars pan pans pot pots bucket buckets crate crates container"
    " containers table tables shelf shelves counter case cases dish dishes platter platters cart carts stand cage rack racks bin"
    " bins drawer cabinet wagon trailer bowl cup glass pitcher vase saucer tin can"
)
# Verbs that require a goal (where to).
PUTS = word_set("put place set lay rest dip stick lean tuck")
# Verbs of handling.
HANDLES = word_set("hold carry wear use talk write read serve pull push")
TOYS = word_set("doll dolls toy toys statue statues robot robots figurine figurines puppet puppets mannequin mannequins")
ROOMS = word_set(
    "room kitchen bathroom bedroom office restaurant cafe store shop classroom library hotel house home apartment bakery"
)
# Furniture that people are on or at while they do something else.
FURNITURE = frozenset({"bed", "couch", "chair", "bench", "dining table", "toilet"})
# What is done to food, whoever the subject is.
CUTS = word_set("cut slice chop eat bite")
# Compounds with a participle.
COMPOUNDS = {
    **dict.fromkeys(("sitting", "waiting", "dressing", "meeting", "changing"), word_set("room area")),
    **dict.fromkeys(("eating", "serving", "cutting", "baking"), word_set("utensil area tray dish spoon bowl plate board")),
    **dict.fromkeys(("rolling", "folding", "rocking"), word_set("pin chair table bag suitcase hill horse")),
}
VESSELS = frozenset({"bowl", "cup", "vase", "wine glass", "bottle"})
# Manner adverbs that need an agent: "together", "angrily".
MANNER = word_set("together alone alike online")
# Open space holds only what flies there, and is removed along with it.
OPEN_AIR = word_set("sky skies")
# Foods with toppings and fillings: their "with" phrase is part of them.
FOODS = frozenset({"pizza", "sandwich", "hot dog", "cake", "donut"})
# Collective nouns for people or animals that can be agents.
COMPANY = word_set("group groups gang class band audience pair bunch mob troupe squad staff")
# Verbs that stay true and grammatical without their complement.
STAND_ALONE = word_set(
    "stand sit walk run play fly swim sleep jump smile pose eat graze park rest wait talk laugh work"
    " cook drink move float dance kneel crouch relax ski nap speak sing drive perch gather roam surf"
    " lounge skate lie lay wade squat travel race stop fish stroll"
)
# Verbs that make no sense once a label is removed.
VERBS_OF_LABEL: dict[str, frozenset[str]] = {
    "skateboard": word_set("skateboard ride jump skate grind flip"),
    "surfboard": word_set("surf ride"),
    "snowboard": word_set("snowboard ride jump"),
    "skis": word_set("ski"),
    "bicycle": word_set("bike cycle ride"),
    "motorcycle": word_set("ride drive race"),
    "horse": word_set("ride"),
    "elephant": word_set("ride"),
    "boat": word_set("sail row float boat travel"),
    "car": word_set("drive park"),
    "truck": word_set("drive"),
    "bus": word_set("drive"),
    "train": word_set("travel"),
    "airplane": word_set("fly travel"),
    "kite": word_set("fly"),
    "tennis racket": word_set("play swing serve"),
    "baseball bat": word_set("swing bat hit"),
    "sports ball": word_set("play kick"),
    "frisbee": word_set("play"),
    "bed": word_set("sleep lie lay"),
    "chair": word_set("sit"),
    "couch": word_set("sit lounge"),
    "bench": word_set("sit"),
    "pizza": word_set("eat"),
    "sandwich": word_set("eat"),
    "hot dog": word_set("eat"),
    "banana": word_set("eat"),
    "donut": word_set("eat"),
    "cake": word_set("eat"),
    "apple": word_set("eat"),
    "orange": word_set("eat"),
    "carrot": word_set("eat"),
    "broccoli": word_set("eat"),
    "cell phone": word_set("talk text"),
    "book": word_set("read"),
}
# Nouns counted with "of": "a group of people" is one noun phrase whose head is "people".
MEASURES = word_set(
    "group groups bunch bunches herd herds flock flocks pair pairs couple slice slices piece pieces row"
    " rows line lines pile piles stack stacks number lot lots set sets variety assortment selection"
    " collection crowd pack string fleet team array kind kinds type types some several many all both"
    " each half one two three dozen dozens series cluster mix mixture loaf chunk wedge assorted display"
    " batch gang few bit handful ton tons load loads trio school litter swarm gaggle hundreds thousands"
    " rest most head heads bundle body bodies amount amounts combination mass abundance"
)
VIEWS = word_set(
    "images pictures photographs pic picture photo photograph image view shot closeup close-up up"
    " portrait painting drawing selfie scene snapshot photos shots views paintings drawings portraits diorama"
)
# Places that can be all that is left of a scene, and that can contain anything else.
PLACES = word_set(
    "street road beach field park room kitchen bathroom bedroom sidewalk ocean water sea lake river"
    " city town lot grass snow sand hill hillside slope mountain mountains court yard backyard garden"
    " forest woods pasture zoo enclosure pen barn stable farm restaurant cafe bar store shop market"
    " office station platform track tracks airport runway tarmac harbor dock pier marina bridge highway"
    " intersection corner curb driveway garage path trail area space plain plains savannah savanna"
    " desert jungle rink arena stadium gym pool porch patio balcony deck hallway hall lobby house home"
    " building sky playground ramp crosswalk shore shoreline meadow countryside lawn trees alley plaza"
    " square village wall fence parade ballpark diamond skatepark background_ land landscape dirt ground"
    " gravel pavement waves wave surf pond stream waterfront port bay canal ice rocks cliff valley hills"
    " fields apartment school classroom library museum church hotel theater studio cage corral habitat"
    " clearing roadway railway railroad terminal floor carpet lane rural scene bakery kitchenette closet"
    " laundry den foyer tunnel roof rooftop streets roads cemetery prairie surface surfaces downtown"
    " freeway avenue pathway walkway parkway subway resort campsite campground shed warehouse dugout"
    " mound skyline property land sands courtyard lakeside riverbank hilltop"
)
# Nouns that cannot stand alone without the phrase that they are attached to: regions, events, light, manner.
HANGERS = word_set(
    "pictures photos photographs selfies setting background foreground distance air front back side top"
    " middle night day daytime motion way line row group time use fun shape style place left right"
    " bottom center edge end evening morning trick tricks jump jumps stunt stunts picture photo"
    " photograph selfie game match ride break nap bite bath pose look event competition contest race"
    " party sun sunlight light rain dark shade camera kind type lap mid-air midair mid direction shadow"
    " weather afternoon dusk dawn sunset speed wind action flight turn rows rest part conversation meal"
    " lunch dinner breakfast other others another work control view traffic display crowd_ something it"
    " them him her foot feet colors color colour condition preparation half wheel show season date walk"
    " move outline crevice swing hit pitch serve shot step attention love travel training practice"
    " summer winter inside outside corner_ wheels legs day's process sides ends reflection sport tennis"
    " route twilight delivery affair takeoff maneuver maneuvers gathering stance newscast meeting"
    " baseball soccer football basketball tournament ceremony celebration"
)
WORN = word_set(
    "shirt shirts t-shirt tshirt hat hats cap caps helmet helmets jacket jackets coat coats suit suits"
    " dress dresses shorts pants jeans skirt sweater uniform uniforms outfit outfits clothes clothing"
    " glasses sunglasses goggles gloves glove shoes shoe boots sneakers socks scarf vest vests costume"
    " costumes gear wetsuit wetsuits bikini swimsuit trunks robe apron hoodie blazer top tuxedo mask"
    " jersey jerseys attire sandals flops tights stockings earrings necklace bracelet watch ring wig"
    " headband bandana mitt pajamas sweatshirt blouse kimono gown headphones earphones makeup leash"
    " collar harness saddle bridle bathing beanie armor swimwear raincoat overalls turban veil headset"
    " cardigan poncho parka pullover polo tee loafers tights tiara crown cloak headdress headdresses"
    " heels pant pyjamas slippers bonnet bandanas jewelry beads wigs aprons robes"
    " lanyard visor wet_suit underwear sari kilt cape garb garments leather toga curlers"
)
BODY = word_set(
    "hair beard mustache moustache face eyes eye mouth ear ears nose head heads neck arm arms hand"
    " hands finger fingers leg legs knee knees foot feet back shoulder shoulders lap chest tongue teeth"
    " tail tails paw paws wing wings trunk trunks tusk tusks horn horns fur mane spots stripes beak"
    " feathers body bodies lips skin tattoo tattoos belly stomach butt braids muscles bottom smile"
    " expression thumb ponytail bangs curls hips waist wrist chin cheek hoof hooves claws snout antlers"
    " faces hairs bun dreadlocks mouths noses necks tongues beards laps trunks bellies"
)
# Parts of the body that no thing has: without a living owner they are left over.
LIMBS = word_set(
    "beard mustache moustache hand hands finger fingers knee knees tongue tongues paw paws tusk tusks fur mane"
    " beak tattoo tattoos thumb ponytail wrist chin cheek hoof hooves claws snout antlers smile"
)
# What is only there while somebody does it.
EVENTS = word_set(
    "fight game match race wedding parade performance concert ceremony competition tournament contest practice lesson dance"
    " conversation meeting marathon tug-of-war hug kiss"
)
PROXIMITY = word_set("near by beside next_to behind under above below alongside against between around")
NEAR = word_set("near by beside next_to alongside close_to")
LOCATIVE = PROXIMITY | word_set(
    "on in at inside on_top_of with atop within among amongst outside upon beneath underneath over along"
)
INANIMATE_ALONE = word_set("park fly drive float move travel stop")
RIDDEN = frozenset({"surfboard", "skateboard", "skis", "snowboard", "bicycle", "motorcycle", "horse", "elephant"})
# Nobody has these in the hand, whatever the verb.
TOO_LARGE = frozenset(
    {"car", "airplane", "bus", "train", "truck", "boat", "couch", "bed", "dining table", "bench", "refrigerator", "oven"}
)
# What one does to a thing that one has in the hand, in the mouth or under oneself.
IN_HAND = word_set(
    "hold carry swing throw toss catch ride fly use play strum grip grab grasp clutch lift raise wave drink eat chew bite fetch"
    " bring retrieve juggle bounce dribble have kick hit push pull drag wield smoke read blow squeeze spray fire shoot"
)
FORBIDDEN = word_set("no without empty only removed")
# Regions and parts: "the nose of a plane" is deleted with the plane.
PARTS = word_set(
    "side top back front end edge nose tail wing wheel wheels hood door window handle roof seat bow leg"
    " legs head face inside corner bottom half part piece interior front-end backside rear middle center"
    " background arm arms hand hands mouth neck trunk ear ears eye eyes body foot feet lap shoulder"
    " prow stern hull mast cockpit fuselage propeller caboose windshield dashboard mirror bumper engine"
    " reflection shadow statue_ sides backs"
)
# Verbs for any subject that stands, lies or moves, so another member of a list may take them over.
ANYONES_VERBS = word_set("sit stand lie lay walk run rest sleep play look move be pose wait")
# Prepositions that need the verb before them: "swinging a bat at a ball".
AIMS = word_set("at to toward towards into onto from off for as")
# What names one thing beside another, as "and" does.
ALONGSIDE = frozenset({"along with", "together with", "as well as", "in addition to"})
# Prepositions that belong to an adjective before them: "full of", "ready for".
COMPLEMENTS = word_set("of to for from about at than into as like")
# Adjectives that may come of what is "with" them, as those in -ed do: "busy with cars".
STATES = word_set("full busy alive messy dirty wet heavy thick bright dark lit happy noisy ripe ready strewn")
# Plural words for one thing.
PAIRS = word_set(
    "scissors pants trousers shorts jeans glasses sunglasses goggles pliers tweezers binoculars headphones tights pajamas"
    " shears leggings overalls"
)
# Prepositions of movement.
DIRECTIONS = word_set("down up across along over through into onto to toward towards from off past around after out_of")
# Prepositions of movement that do not fit a subject at rest.
GOING = word_set("down up across through into onto to toward towards off out_of")
WATERS = word_set("river lake ocean sea water stream pond bay canal")
# Places that things are on; they are in others.
ON_PLACES = word_set(
    "street road hill hillside slope mountain wave waves ramp track tracks runway beach field court"
    " snow path trail sidewalk bridge highway grass ground floor sand shore hills streets roads tarmac"
    " lawn dirt driveway pier dock crosswalk rail stairs steps rails ocean lake river roadway pathway"
    " walkway pavement curb"
)
# Nouns that take no article in the singular, or need none in a caption.
MASS = word_set(
    "food water grass snow luggage furniture wine beer milk fruit meat bread cheese sand equipment"
    " traffic clothing rice soup salad broccoli hay mud dirt coffee tea juice ice stuff cream baggage"
    " produce champagne graffiti scissors jewelry silverware corn lettuce sauce chicken pasta sushi cattle"
    " wildlife foliage vegetation greenery paper glass wood fire smoke pizza cake"
)
