/**
 * Which commands of a program must wait for which: a command follows those that wrote what it reads, and those that read or wrote what it
 * writes. The rest may run side by side, as branches of a CUDA graph.
 */
import type { Instruction, Operand } from "../../program.ts";
import type { Command, DeviceOperand, Product } from "./lower-types.ts";

/** The commands of one instruction, or of a few lowered together; they run one after the other. */
export interface Group {
	readonly commands: readonly Command[];
	readonly reads: readonly (Operand | null)[];
	readonly writes: readonly (Operand | null)[];
}

export function groupOf(instructions: readonly Instruction[], commands: readonly Command[]): Group {
	return {
		commands,
		reads: instructions.flatMap(({ inputs }) => inputs),
		writes: instructions.flatMap(({ outputs }) => outputs),
	};
}

/** Workspaces of cuBLASLt that products take in turn. */
export const workspaces = 4;

/** Words of some space: [start, end), and of rows of `ld` words from `start` on the first `cols` alone; ld 0: all. */
interface Region {
	readonly space: string;
	readonly start: number;
	readonly end: number;
	readonly ld: number;
	readonly cols: number;
}

interface Access extends Region {
	readonly group: number;
	readonly write: boolean;
}

/** Accesses are looked up by pages of this many words. */
const pageWords = 1 << 20;

/** For each command the commands (by index, all smaller) that it must wait for; what follows from others is left out. */
export function dependenciesOf(groups: readonly Group[]): number[][] {
	const pages = new Map<string, Access[]>();
	const before = new Ancestors(groups.length);
	const dependencies: number[][] = [];
	const last: number[] = [];
	groups.forEach((group, index) => {
		if (group.commands.length === 0) throw new Error("[order] expected a command for every instruction, got none");
		const { reads, writes } = regionsOf(group);
		const found = new Set<number>();
		for (const region of reads) visit(pages, region, (access) => access.write && found.add(access.group));
		for (const region of writes) visit(pages, region, (access) => found.add(access.group));
		for (const region of writes) forget(pages, region);
		for (const region of reads) remember(pages, { ...region, group: index, write: false });
		for (const region of writes) remember(pages, { ...region, group: index, write: true });
		const needed = before.add(index, found);
		group.commands.forEach((_, i) => {
			dependencies.push(i === 0 ? needed.map((each) => last[each]) : [dependencies.length - 1]);
		});
		last.push(dependencies.length - 1);
	});
	return dependencies;
}

/** Which groups come before which, directly or not. */
class Ancestors {
	readonly #sets: Uint32Array[] = [];
	readonly #words: number;

	constructor(groups: number) {
		this.#words = Math.ceil(groups / 32);
	}

	/** @returns of `found` those that no other of them waits for */
	add(index: number, found: ReadonlySet<number>): number[] {
		const all = new Uint32Array(this.#words);
		const needed: number[] = [];
		for (const each of [...found].sort((a, b) => b - a)) {
			if (each === index || (all[each >> 5] >>> (each & 31)) & 1) continue;
			needed.push(each);
			all[each >> 5] |= 1 << (each & 31);
			const theirs = this.#sets[each];
			for (let i = 0; i <= each >> 5; i++) all[i] |= theirs[i];
		}
		this.#sets.push(all);
		return needed;
	}
}

function regionsOf({ commands, reads, writes }: Group): { reads: Region[]; writes: Region[] } {
	const of = (operands: readonly (DeviceOperand | null)[]) =>
		operands.flatMap((each) => (each ? [regionOf(each)] : []));
	const read = of(reads);
	const written = of(writes);
	for (const command of commands) {
		const [ins, outs] = scratchOf(command);
		read.push(...of(ins));
		written.push(...of(outs));
		if (command.kind === "product") written.push(workspaceOf(command));
	}
	return { reads: read, writes: written };
}

/** Scratch that a command reads, and that it may write. */
function scratchOf(command: Command): [(DeviceOperand | null)[], (DeviceOperand | null)[]] {
	const scratch = (each: DeviceOperand | null) => each?.space === "scratch";
	if (command.kind === "zero") return [[], [command.operand].filter(scratch)];
	if (command.kind === "product")
		return [[command.a, command.b, command.c].filter(scratch), [command.y].filter(scratch)];
	return [[], command.args.flatMap((argument) => ("operand" in argument ? [argument.operand] : [])).filter(scratch)];
}

function workspaceOf({ workspace = 0 }: Product): Region {
	return { space: `workspace ${workspace}`, start: 0, end: 1, ld: 0, cols: 0 };
}

function regionOf({ space, offset, rows, cols, ld, dtype }: DeviceOperand): Region {
	const perWord = dtype === "half" ? 2 : 1;
	const [width, step] = [cols / perWord, ld / perWord];
	const words = rows * cols === 0 ? 0 : Math.ceil((rows - 1) * step + width);
	const whole = rows <= 1 || cols >= ld || !Number.isInteger(width) || !Number.isInteger(step);
	return { space, start: offset, end: offset + words, ld: whole ? 0 : step, cols: width };
}

function overlap(a: Region, b: Region): boolean {
	if (a.end <= b.start || b.end <= a.start) return false;
	if (a.ld === 0 || a.ld !== b.ld) return true;
	const [before, after] = a.start <= b.start ? [a, b] : [b, a];
	const column = (after.start - before.start) % a.ld;
	return column < before.cols || column + after.cols > a.ld;
}

/** Is all of `a` in `b`? */
function within(a: Region, b: Region): boolean {
	if (a.start < b.start || a.end > b.end) return false;
	return b.ld === 0 || (a.ld === b.ld && ((a.start - b.start) % a.ld) + a.cols <= b.cols);
}

function pagesOf({ space, start, end }: Region): string[] {
	const from = Math.floor(start / pageWords);
	const count = Math.max(1, Math.ceil(end / pageWords) - from);
	return Array.from({ length: count }, (_, i) => `${space} ${from + i}`);
}

function visit(pages: ReadonlyMap<string, Access[]>, region: Region, found: (access: Access) => void): void {
	for (const page of pagesOf(region)) {
		for (const access of pages.get(page) ?? []) if (overlap(access, region)) found(access);
	}
}

/** Drop what is overwritten: whoever waits for it waits for the writer, who waited for it. */
function forget(pages: Map<string, Access[]>, region: Region): void {
	for (const page of pagesOf(region)) {
		const accesses = pages.get(page);
		if (accesses) {
			pages.set(
				page,
				accesses.filter((access) => !within(access, region)),
			);
		}
	}
}

function remember(pages: Map<string, Access[]>, access: Access): void {
	for (const page of pagesOf(access)) {
		const accesses = pages.get(page);
		if (accesses) accesses.push(access);
		else pages.set(page, [access]);
	}
}
