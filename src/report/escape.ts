/** Text from anywhere (a model's samples, names of files) made harmless for XML, HTML and Markdown. */

/** Without what XML cannot hold: control characters and halves of surrogate pairs become U+FFFD. */
export function clean(text: string): string {
	const whole = Buffer.from(text, "utf8").toString("utf8");
	return whole.replace(/(?![\t\n\r])[\p{Cc}\ufffe\uffff]/gu, "\ufffd");
}

const entities: Readonly<Record<string, string>> = {
	"&": "&amp;",
	"<": "&lt;",
	">": "&gt;",
	'"': "&quot;",
	"'": "&#39;",
};

/** Text for content and attributes of XML and HTML. */
export function escapeXml(text: string): string {
	return clean(text).replace(/[&<>"']/g, (character) => entities[character]);
}

/** Text that Markdown shows as it is, on one line: for cells, captions, and names within a text block. */
export function escapeMarkdown(text: string): string {
	return clean(text)
		.replace(/\s+/g, " ")
		.replace(/[\\`*_[\]{}|~#$]/g, "\\$&")
		.replace(/&/g, "&amp;")
		.replace(/</g, "&lt;")
		.replace(/>/g, "&gt;")
		.replace(
			/^(\s*)([-+=]|\d+[.)])(?=\s|$)/,
			(_, space: string, mark: string) => `${space}${mark.slice(0, -1)}\\${mark.slice(-1)}`,
		)
		.replace(/(https?|ftp):\/\//gi, "$1:\u200b//");
}

/** A block of code in Markdown whose fence is longer than any in the text. */
export function fenced(text: string, language = ""): string {
	const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length));
	const fence = "`".repeat(longest + 1);
	return `${fence}${language}\n${clean(text).replace(/\n$/, "")}\n${fence}`;
}

/** At most `length` characters, the cut marked by an ellipsis; line ends become spaces. */
export function shortened(text: string, length: number): string {
	const characters = [...clean(text).replace(/\s+/g, " ")];
	return characters.length <= length ? characters.join("") : `${characters.slice(0, length - 1).join("")}…`;
}
