/** `npm run golden -- DIR [--backend all|NAME]`: agreement with golden cases, one line per case and quantity; exit 1 when off. */
import { parseArgs } from "node:util";
import { RivuletError } from "../base/errors.ts";
import type { BackendName } from "../engine/backend.ts";
import { backendNames, backendSupport, createRuntime } from "../engine/backends/index.ts";
import { checkGoldenCase, goldenCases } from "../train/golden.ts";

const tolerance = 1e-4;

async function main(): Promise<number> {
	const { values, positionals } = parseArgs({
		allowPositionals: true,
		options: { backend: { type: "string", default: "all" } },
	});
	const known = ["all", ...backendNames];
	if (positionals.length !== 1 || !known.includes(values.backend)) {
		const expected = `one folder and --backend ${known.join(" | ")}`;
		throw new RivuletError("usage", `expected ${expected}`, {
			exitStatus: 2,
			hint: "npm run golden -- test/fixtures/golden --backend all",
		});
	}
	const [folder] = positionals;
	const support = await backendSupport();
	let off = 0;
	let checked = 0;
	for (const [backend, reason] of support) {
		if (values.backend !== "all" && values.backend !== backend) continue;
		if (reason !== undefined) {
			console.log(`${backend}: skipped: ${reason}`);
			if (values.backend === backend) off++;
			continue;
		}
		for (const name of goldenCases(folder)) {
			const results = await checkGoldenCase(
				folder,
				name,
				await createRuntime(backend as BackendName, { threads: 2, precision: "fp32" }),
			);
			for (const { quantity, error, leftOut } of results) {
				const fine = error <= tolerance;
				checked++;
				if (!fine) off++;
				const note = leftOut > 0 ? `  (${leftOut} elements left out: rounding noise in the case)` : "";
				console.log(
					`${fine ? "ok " : "OFF"}  ${backend.padEnd(9)}  ${name.padEnd(24)}  ${error.toExponential(2)}  ${quantity}${note}`,
				);
			}
		}
	}
	console.log(
		off === 0
			? `${checked} quantities agree within ${tolerance}`
			: `${off} of ${checked} off by more than ${tolerance}`,
	);
	return off === 0 ? 0 : 1;
}

try {
	process.exitCode = await main();
} catch (error) {
	if (!(error instanceof RivuletError)) throw error;
	console.error(`golden: ${error.message}${error.hint ? `\n  ${error.hint}` : ""}`);
	process.exitCode = error.exitStatus;
}
