/** The doubling curriculum of the copy tasks: little noise at first, twice as much whenever the validation loss is low. */

export interface CurriculumSettings {
	/** Noise tokens to begin with; null: full from the start. */
	readonly start: number | null;
	/** Validation loss (nats) under which the noise is doubled. */
	readonly threshold: number;
	/** Noise tokens at full length. */
	readonly full: number;
}

export class Curriculum {
	readonly #settings: CurriculumSettings;
	#noise: number;

	/** @param noise where a resumed run stands */
	constructor(settings: CurriculumSettings, noise?: number) {
		this.#settings = settings;
		this.#noise = Math.min(noise ?? settings.start ?? settings.full, settings.full);
	}

	/** Noise tokens now; all the state there is. */
	get noise(): number {
		return this.#noise;
	}

	get full(): boolean {
		return this.#noise === this.#settings.full;
	}

	/** Take note of a validation loss at the present noise. True when the noise has grown because of it. */
	observe(loss: number): boolean {
		if (this.full || !(loss < this.#settings.threshold)) return false;
		this.#noise = Math.min(2 * this.#noise, this.#settings.full);
		return true;
	}
}
