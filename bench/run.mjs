/** `npm run bench -- NAME`: runs bench/NAME.mjs with the remaining arguments. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const benchmarks = {
	train: "training steps beside PyTorch: Shakespeare, copy and image configurations",
	growth: "how time, memory and planning grow with the length of the sequence",
	stream: "generation: speed and memory far into a stream, beside recomputing the window",
	matmul: "the matrix product at the shapes of training, beside the machine's peak",
	ops: "every op on every backend, beside the machine's peak",
	floors: "what a training step on a GPU cannot take less than",
};

const [name, ...args] = process.argv.slice(2);
const file = new URL(`./${name}.mjs`, import.meta.url);
if (name === undefined || !Object.hasOwn(benchmarks, name) || !existsSync(fileURLToPath(file))) {
	console.error("usage: npm run bench -- NAME [options]");
	for (const [known, what] of Object.entries(benchmarks)) console.error(`  ${known.padEnd(7)} ${what}`);
	process.exit(2);
}
const { main } = await import(file.href);
await main(args);
