/**
 * Kernels compiled once per machine: cubins in the user's cache folder, named by a hash of everything that the code depends on. A file
 * that cannot be read, written or trusted is as good as none.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheRoot } from "../../../base/cache-root.ts";
import { writeFileAtomic } from "../../../base/files.ts";
import { compileOptions, type Source } from "./nvrtc.ts";

/** What beside the source decides the machine code. */
export interface Compiler {
	/** "sm_90a" */
	readonly architecture: string;
	readonly driverVersion: number;
	/** NVRTC's "13.0" */
	readonly version: string;
}

const magic = Buffer.from("rivulet-cubin-1\n");
const hashBytes = 32;

/** The folder: cuda/ in $RIVULET_CACHE, $XDG_CACHE_HOME/rivulet or ~/.cache/rivulet. */
export function moduleFolder(): string {
	return join(cacheRoot(), "cuda");
}

export function moduleKey({ name, text, headers, defines }: Source, compiler: Compiler): string {
	const { architecture, driverVersion, version } = compiler;
	const parts = [name, text, headers, compileOptions(architecture, defines), driverVersion, version];
	return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 40);
}

/** The cubin stored under `key`, or undefined where there is none or it was damaged. */
export function readModule(folder: string, key: string): Uint8Array | undefined {
	try {
		const file = readFileSync(join(folder, `${key}.cubin`));
		const cubin = file.subarray(magic.length + hashBytes);
		const hash = file.subarray(magic.length, magic.length + hashBytes);
		const whole = file.subarray(0, magic.length).equals(magic) && digest(cubin).equals(hash);
		return whole ? new Uint8Array(cubin) : undefined;
	} catch {
		return undefined;
	}
}

/** Keep a cubin; a full disk or a folder that may not be written only costs the next start. */
export function writeModule(folder: string, key: string, cubin: Uint8Array): void {
	try {
		mkdirSync(folder, { recursive: true });
		writeFileAtomic(join(folder, `${key}.cubin`), Buffer.concat([magic, digest(cubin), cubin]));
	} catch {}
}

function digest(bytes: Uint8Array): Buffer {
	return createHash("sha256").update(bytes).digest();
}
