/** What tests of SVG and HTML ask of markup. */
import { expect } from "vitest";

/** Well-formed XML: every tag closed in order, attributes quoted and unique, no character that XML does not know. */
export function expectXml(text: string): void {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: XML forbids them
	expect(text).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/);
	const open: string[] = [];
	const attribute = /\s+[\w:-]+="(?:[^"<&]|&(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)*"/gi;
	for (const [tag, name] of text.matchAll(/<(\/?[\w:]+)[^>]*>|<[^>]*>?/g)) {
		expect(name, `tag ${tag}`).toBeDefined();
		if (name.startsWith("/")) expect(open.pop()).toBe(name.slice(1));
		else {
			expect(tag.replace(attribute, ""), "attributes").toMatch(/^<[\w:]+\s*\/?>$/);
			const names = [...tag.matchAll(attribute)].map(([one]) => one.trim().split("=")[0]);
			expect(new Set(names).size).toBe(names.length);
			if (!tag.endsWith("/>")) open.push(name);
		}
	}
	expect(Buffer.from(text).toString()).toBe(text); // no half of a surrogate pair
	expect(open).toEqual([]);
	const content = text.replace(/<[^>]*>/g, "");
	expect(content).not.toMatch(/&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)/i);
}

/** Nothing is loaded from elsewhere and nothing runs. */
export function expectSelfContained(markup: string): void {
	expect(markup).not.toMatch(/<(script|iframe|object|embed|link|foreignObject)\b/i);
	expect(markup).not.toMatch(/<[^>]*\son\w+\s*=/i);
	expect(markup).not.toMatch(/@import|<[^>]*=\s*"javascript:/i);
	for (const [, address] of markup.matchAll(/<[^>]*?\s(?:src|srcset|xlink:href|data)="([^"]*)"/gi)) {
		expect(address).toMatch(/^data:image\/png;base64,/);
	}
	for (const [, address] of markup.matchAll(/<image[^>]*?\shref="([^"]*)"/gi))
		expect(address).toMatch(/^data:image\/png;base64,/);
	for (const [, address] of markup.matchAll(/url\(([^)]*)\)/gi)) expect(address).toMatch(/^#/);
}
