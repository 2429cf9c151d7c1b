import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Needs the build that `npm test` makes first. */
describe.skipIf(!existsSync(program))("the program as a process", () => {
	const shell = (command: string) =>
		spawnSync("bash", ["-c", command], {
			encoding: "utf8",
			env: { ...process.env, RIVULET: `${process.execPath} ${program}` },
		});

	test("ends with the status of wrong usage", () => {
		const { status, stdout, stderr } = shell("$RIVULET train --train.bacth 4");
		expect([status, stdout]).toEqual([2, ""]);
		expect(stderr).toContain("did you mean --train.batch?");
	});

	test("is quiet when the reader of its output has gone", () => {
		const { stdout, stderr } = shell("$RIVULET train --help-all | head -c 5; echo ' status' $PIPESTATUS");
		expect([stdout, stderr]).toEqual(["Usage status 0\n", ""]);
	});

	test.skipIf(!existsSync("/dev/full"))("says in one line that its output cannot be written", () => {
		const { status, stderr } = shell("$RIVULET --help > /dev/full");
		expect([status, stderr]).toEqual([1, "rivulet: cannot write the output: the disk is full\n"]);
	});

	test("loads neither schema nor engine to say what it can do", () => {
		const { stderr } = shell("NODE_DEBUG=esm $RIVULET --help > /dev/null");
		expect(stderr).toContain("commander");
		expect(stderr).not.toMatch(/node_modules\/zod|dist\/engine/);
	});
});
