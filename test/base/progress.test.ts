import { expect, test } from "vitest";
import { type Field, Progress } from "../../src/base/progress.ts";

/** A stream that remembers, and a clock set by hand. */
function setup(terminal: boolean, environment: Record<string, string> = {}, silent = false) {
	let text = "";
	const time = { now: 0 };
	const stream = { isTTY: terminal, columns: 30, write: (piece: string) => (text += piece) };
	const progress = new Progress({ stream, environment, clock: () => time.now, silent });
	const written = () => {
		const now = text;
		text = "";
		return now;
	};
	return { progress, time, written };
}

const step = (n: number): Field[] => [
	["step", String(n)],
	["loss", "2.5"],
];

test("in a pipe: a plain line at once, then one every ten seconds, the last at the end", () => {
	const { progress, time, written } = setup(false);
	for (let n = 0; n <= 25; n++) {
		time.now = n * 1000;
		progress.update(step(n));
	}
	expect(written()).toBe("step 0  loss 2.5\nstep 10  loss 2.5\nstep 20  loss 2.5\n");
	progress.print("note");
	progress.end();
	expect(written()).toBe("note\nstep 25  loss 2.5\n");
	progress.end();
	expect(written()).toBe("");
});

test("on a terminal: one line redrawn, at most ten times a second", () => {
	const { progress, time, written } = setup(true, { NO_COLOR: "1" });
	progress.update(step(1));
	expect(written()).toBe("\rstep 1  loss 2.5\x1b[K");
	time.now = 50;
	progress.update(step(2));
	expect(written()).toBe("");
	time.now = 100;
	progress.update(step(3));
	expect(written()).toBe("\rstep 3  loss 2.5\x1b[K");
	progress.print("saved");
	expect(written()).toBe("\r\x1b[Ksaved\nstep 3  loss 2.5");
	progress.end();
	expect(written()).toBe("\n");
});

test("on a terminal: fields that do not fit the width are left out", () => {
	const { progress, written } = setup(true, { NO_COLOR: "1" });
	progress.update([
		["step", "1"],
		["loss", "2.5"],
		["tokens/s", "123456789"],
	]);
	expect(written()).toBe("\rstep 1  loss 2.5\x1b[K");
});

test("labels are dim on a terminal, unless NO_COLOR says otherwise", () => {
	const { progress, written } = setup(true);
	progress.update([["step", "1"]]);
	expect(written()).toBe("\r\x1b[2mstep\x1b[22m 1\x1b[K");
});

test("a dumb terminal gets plain lines", () => {
	const { progress, written } = setup(true, { TERM: "dumb" });
	progress.update(step(1));
	expect(written()).toBe("step 1  loss 2.5\n");
});

test("silent means nothing at all", () => {
	const { progress, written } = setup(true, {}, true);
	progress.update(step(1));
	progress.print("note");
	progress.end();
	expect(written()).toBe("");
});
