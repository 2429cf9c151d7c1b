/** From a Program to commands: no kernels yet. */
import type { Program } from "../../program.ts";
import type { Lowered, Target } from "./lower-types.ts";

export function lower(program: Program, target: Target): Lowered {
	throw new Error(`[lower] no kernels for ${program.instructions.length} instructions in ${target.precision}`);
}
