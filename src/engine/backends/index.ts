/** Which backends there are, and the choice among them: cuda, then native, then wasm, then reference. */
import { RivuletError } from "../../base/errors.ts";
import type { Backend, BackendName, Runtime, RuntimeOptions } from "../backend.ts";

/** In order of preference. Loaded only when asked for: a library that cannot be opened must not break the others. */
const loaders: Record<BackendName, () => Promise<Backend>> = {
	cuda: async () => (await import("./cuda/index.ts")).cudaBackend,
	native: async () => (await import("./native.ts")).native,
	wasm: async () => (await import("./wasm-node.ts")).wasm,
	reference: async () => (await import("./reference.ts")).reference,
};

/** In order of preference. */
export const backendNames = Object.keys(loaders) as BackendName[];

/** One line per backend: why it cannot work here, or undefined when it can. */
export async function backendSupport(): Promise<Map<BackendName, string | undefined>> {
	const support = new Map<BackendName, string | undefined>();
	for (const name of backendNames) support.set(name, await (await loaders[name]()).unavailable());
	return support;
}

/**
 * A runtime of the named backend, or of the first that works here ("auto").
 * @throws RivuletError backend-unavailable, precision
 */
export async function createRuntime(name: BackendName | "auto", options: RuntimeOptions = {}): Promise<Runtime> {
	const reasons: string[] = [];
	for (const candidate of name === "auto" ? backendNames : [name]) {
		const backend = await loaders[candidate]();
		const reason = await backend.unavailable();
		if (reason === undefined) {
			checkPrecision(candidate, options);
			return await backend.create(options);
		}
		reasons.push(name === "auto" ? `${candidate}: ${reason}` : reason);
	}
	const what = name === "auto" ? "no backend can" : `the backend ${name} cannot`;
	throw new RivuletError("backend-unavailable", `${what} run here: ${reasons.join("; ")}`, {
		hint: "Leave --backend at auto for the fastest that can, or see what each needs: `rivulet doctor`",
		exitStatus: 2,
	});
}

/** Only a GPU has products that round what they read. */
function checkPrecision(name: BackendName, { precision = "fp32" }: RuntimeOptions): void {
	if (name === "cuda" || precision === "fp32" || precision === "auto") return;
	throw new RivuletError(
		"precision",
		`--precision ${precision}: expected the backend cuda, found ${name}, which computes in fp32`,
		{
			hint: "Leave --precision at auto, or see `rivulet doctor` for what cuda needs.",
			exitStatus: 2,
		},
	);
}
