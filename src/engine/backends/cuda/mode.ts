/** What of a runtime depends on how products read their operands: kernels, products, and programs as they are lowered for them. */
import type { Precision } from "../../backend.ts";
import type { Program, ProgramHandle } from "../../program.ts";
import { Products } from "./cublaslt.ts";
import type { Device, Driver } from "./driver.ts";
import { castLaunch } from "./half-precision.ts";
import { Kernels } from "./kernels.ts";
import { Launcher } from "./launcher.ts";
import type { Launch, Lowered, Target } from "./lower-types.ts";
import type { DeviceMemory } from "./memory.ts";
import { nvrtcVersion } from "./nvrtc.ts";
import { Choices } from "./tune.ts";

/** What all modes of a runtime share. */
export interface Ground {
	readonly driver: Driver;
	readonly device: Device;
	readonly memory: DeviceMemory;
	readonly stream: bigint;
	readonly lower: (program: Program, target: Target) => Lowered;
	/** Folder of compiled kernels and choices, and of kernels' sources where that is another than the package's. */
	readonly cache: string;
	readonly sources: string | undefined;
	readonly check: boolean;
}

/** A program in one mode. */
export interface Form {
	readonly lowered: Lowered;
	/** Its kernels are compiled. */
	prepared: boolean;
}

export class Mode {
	readonly precision: Precision;
	readonly kernels: Kernels;
	readonly products: Products;
	readonly launcher: Launcher;
	readonly #ground: Ground;
	readonly #forms = new Map<number, Form>();

	constructor(precision: Precision, ground: Ground) {
		const { driver, device, memory, stream, cache, sources, check } = ground;
		const { libraries } = driver;
		this.precision = precision;
		this.#ground = ground;
		const compiler = { ...device, version: nvrtcVersion(libraries) };
		// common.cuh has the halves of either format; without this they are bf16.
		const defines: Record<string, number> = precision === "fp16" ? { FP16: 1 } : {};
		this.kernels = new Kernels(driver, compiler, cache, sources, defines);
		const { name, driverVersion } = device;
		const version = Number(libraries.cublasLt.cublasLtGetVersion());
		this.products = new Products(driver, precision, new Choices(cache, { name, driverVersion, version, precision }));
		const parts = { memory, kernels: this.kernels, products: this.products };
		this.launcher = new Launcher(driver, parts, stream, check);
	}

	/** A program as it is run here, lowered the first time. */
	form({ id, program }: ProgramHandle): Form {
		const known = this.#forms.get(id);
		if (known) return known;
		const { multiprocessors, sharedMemory } = this.#ground.device;
		const lowered = this.#ground.lower(program, { precision: this.precision, multiprocessors, sharedMemory });
		const form = { lowered, prepared: false };
		this.#forms.set(id, form);
		return form;
	}

	forget(id: number): void {
		this.#forms.delete(id);
	}

	/** Compile what these need. */
	async prepare(forms: readonly Form[]): Promise<void> {
		if (forms.every(({ prepared }) => prepared)) return;
		await this.kernels.prepare(this.#launches(forms));
		for (const form of forms) form.prepared = true;
	}

	close(free: (address: bigint) => void): void {
		this.products.close(free);
		this.kernels.close();
	}

	*#launches(forms: readonly Form[]): Generator<Pick<Launch, "file" | "defines" | "label">> {
		if (forms.some(({ lowered }) => lowered.half) || this.precision === "fp16") yield castLaunch(0, 1);
		for (const { lowered } of new Set(forms)) {
			for (const command of lowered.commands) if (command.kind === "kernel") yield command;
		}
	}
}
