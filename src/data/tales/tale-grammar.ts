/**
 * The grammar of the built-in tales: a child loses a treasured thing, meets an animal, and finds the thing again. Names, things,
 * colours and places drawn early are needed again later, and words have forms (she, barked, flew) that go with them.
 * Alternatives of a rule differ in their first word, so that every choice can be read back (`findAmbiguities`).
 */

import type { GrammarSource, Word } from "./grammar.ts";

/** Words apart by spaces; "_" stands for a space inside one. */
function list(words: string): string[] {
	return words.split(/\s+/).map((word) => word.replaceAll("_", " "));
}

function children(girls: string, boys: string): Word[] {
	const she = { he: "she", He: "She", his: "her", him: "her", kind: "girl" };
	const he = { he: "he", He: "He", his: "his", him: "him", kind: "boy" };
	const [some, others] = [list(girls), list(boys)];
	return some.flatMap((name, i) => [
		{ word: name, ...she },
		{ word: others[i], ...he },
	]);
}

/** Pairs such as "kite/flew". */
function pairs(form: string, words: string): Word[] {
	return list(words).map((pair) => {
		const [word, other] = pair.split("/");
		return { word, [form]: other };
	});
}

export const taleGrammar: GrammarSource = {
	start: "tale",
	rules: {
		tale: [[1, "<opening> <gift> <trouble> <search> <meeting> <talk> <finding> <thanks> <close>\n\n"]],
		opening: [
			[4, "Once there was a [trait] child named [hero=child] who lived near the [place=place]. <scene>"],
			[3, "In a [size] house by the [place=place] lived [hero=child], a [trait] {hero.kind}. <scene>"],
			[2, "[hero=child] was a [trait] {hero.kind} from beyond the [place=place]. <scene>"],
			[1, "Long ago, by the [place=place], [hero=child] lived alone with a [trait] [pet]. <scene>"],
		],
		scene: [
			[3, "There [flower] grew by the [path], and the [bird] sang [manner]."],
			[2, "It was a [weather] [season], full of [flower] and [fruit]."],
			[2, "All [season] the [townsman] sold [food] and [fruit] there."],
		],
		gift: [
			[3, "{hero.He} had a [colour=colour] [thing=thing] from {hero.his} [kin=kin]."],
			[2, "One [time] {hero.his} [kin=kin] gave {hero.him} a [colour=colour] [thing=thing]."],
			[2, "Every [time] {hero} played with a [colour=colour] [thing=thing] that {hero.his} [kin=kin] had made."],
			[1, "What {hero.he} loved most was a [colour=colour] [thing=thing], a gift from {hero.his} [kin=kin]."],
		],
		trouble: [
			[3, "But one [weather] [time] the {thing} was gone."],
			[2, "Then a [gust] wind blew the {colour} {thing} away."],
			[2, "Sadly, {hero.he} lost the {thing} on the way to the [townsman]."],
			[1, "While {hero} slept, a [thief] stole the {colour} {thing}."],
		],
		search: [
			[3, "{hero.He} looked under the [furniture] and behind the [tree], but found only a [trifle]."],
			[2, "{hero} wept [manner] and asked the [townsman] by the [path] for help."],
			[2, "So {hero.he} took some [food] and walked [manner] past the {place} to look for it."],
			[1, "Nobody had seen the {thing}, not even the [townsman] or the [bird]."],
		],
		meeting: [
			[3, "At the [path] {hero} met a [trait] [friend=animal] named [name=beast]."],
			[2, "Soon a [size] [friend=animal] called [name=beast] came by, eating [fruit]."],
			[2, "Under a [tree] sat [name=beast], a [joy] [friend=animal]."],
		],
		talk: [
			[3, '"[hello], {name}, have you seen my {thing}?" asked {hero}. <answer>'],
			[2, '{name} asked why {hero} was so [sorrow]. "My {colour} {thing} is lost," said {hero}. <answer>'],
			[1, 'The {friend} {friend.said} [manner]. "Help me find my {thing}," said {hero}. <answer>'],
		],
		answer: [
			[3, '"Look [where=where] the [spot=spot]," {friend.said} {name}.'],
			[2, '"It lies [where=where] the [spot=spot]," said the {friend}.'],
			[1, "The {friend} knew a [size] hole [where=where] the [spot=spot]."],
		],
		finding: [
			[3, "They looked {where} the {spot}, and there was the {thing}!"],
			[2, "And there, {where} the {spot}, lay the {colour} {thing}."],
			[2, "{hero} ran to the {spot} and found the {thing}, [state] but whole."],
		],
		thanks: [
			[3, "{hero} thanked {name} and gave the {friend} some [food]."],
			[2, "As thanks, the {friend} got a [size] bowl of [food] with [fruit]."],
			[2, '"Thank you, {name}," said {hero}, and they shared some [food].'],
			[1, '"You are a [trait] {friend}," said {hero}, and {name} {friend.said} [manner].'],
		],
		close: [
			[3, "From then on, {hero} and {name} {thing.used} the {thing} together every [time]."],
			[2, "Back home, {hero.his} {kin} was [joy] and made [food]."],
			[2, "That night {hero} dreamed of the {friend} and the {place}."],
			[1, "Never again did {hero} lose the {colour} {thing}."],
		],
	},
	words: {
		child: children(
			"Mia Anna Lily Rosa Clara Nora Ella Ruth Ida Greta Molly Hazel Sara June Vera Dora Lena Tess",
			"Tom Ben Sam Jack Leo Max Peter Hugo Finn Oscar Otto Paul Karl Noah Emil Felix Anton Simon",
		),
		trait: list(
			"kind brave little clever quiet happy shy young merry gentle proud lazy wise careful funny patient stubborn curious bold polite",
		),
		size: list("small big tiny tall wide large round narrow huge little"),
		place: list(
			"river forest mill lake hill village sea castle bridge meadow garden marsh tower valley harbor farm desert canyon glacier quarry",
		),
		pet: list("cat dog hen goat pony parrot turtle"),
		flower: list("roses daisies lilies poppies tulips violets clover ferns thistles bluebells heather mint"),
		path: list("gate road path well crossroads stream fence corner steps market pier bend"),
		bird: list("sparrow lark robin swallow finch dove thrush raven heron cuckoo wren magpie"),
		manner: list("softly loudly sweetly slowly all_day bravely sadly gladly at_once for_hours quickly in_turn gently"),
		weather: list("cold windy rainy sunny dark gray misty warm stormy snowy dry bright"),
		season: list("summer spring autumn winter week year"),
		fruit: list("apples berries plums pears nuts cherries figs grapes peaches beans peas pumpkins"),
		townsman: list("baker miller farmer smith weaver teacher sailor tailor fisher hunter potter doctor mason barber"),
		food: list("bread soup cheese honey milk cake jam butter porridge rice tea fish pie stew toast corn"),
		time: list("day morning evening night afternoon Sunday Monday noon Friday"),
		colour: list("red blue green yellow white golden brown silver purple pink black"),
		thing: pairs(
			"used",
			"ball/threw kite/flew drum/played boat/sailed book/read lamp/lit flute/played wagon/pulled bell/rang doll/dressed hoop/rolled " +
				"whistle/blew map/studied basket/filled top/spun sled/rode fiddle/tuned scarf/wore mirror/cleaned rope/swung hat/wore " +
				"horn/blew puppet/moved marble/rolled wheel/turned lantern/carried ring/polished cup/washed",
		),
		kin: list("mother father grandmother uncle sister brother grandfather aunt cousin godmother"),
		thief: list("thief crow goblin rat jackdaw troll weasel pirate"),
		furniture: list("bed table chair stove door rug bench shelf chest clock barrel window stairs curtain"),
		trifle: list("feather button pebble spoon sock leaf nail coin shell crumb spider candle thread cork"),
		animal: pairs(
			"said",
			"fox/yelped rabbit/squeaked bear/growled frog/croaked owl/hooted wolf/howled mouse/peeped deer/whispered duck/quacked " +
				"hedgehog/sniffed badger/grunted squirrel/chattered goose/honked beaver/muttered otter/whistled toad/mumbled snake/hissed " +
				"donkey/brayed lamb/bleated bee/buzzed lion/roared mole/sighed",
		),
		beast: list(
			"Rufus Bella Pip Bruno Daisy Toby Coco Rex Misty Basil Ginger Bramble Olive Pepper Hobbs Juno Nibbles Tuck Willow Zigzag Fern Quill",
		),
		tree: list("tree oak willow pine birch maple bush elm beech poplar"),
		sorrow: list("sad tired lonely angry worried grumpy pale silent gloomy hungry"),
		joy: list("happy cheerful sleepy calm pleased glad friendly lively jolly proud"),
		gust: list("strong cold wild sudden mighty rough"),
		hello: list("Hello Please Sir Friend Oh Greetings Excuse_me"),
		where: list("behind under beside near close_to left_of past"),
		spot: list(
			"barn rock log wall haystack hollow church cave fountain shed stable hedge cart boulder nest statue bucket",
		),
		state: list("wet dusty muddy cold sandy dirty sticky dented"),
	},
};
