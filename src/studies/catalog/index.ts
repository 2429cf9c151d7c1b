/** The studies there are. */
import { RivuletError } from "../../base/errors.ts";
import { nearest } from "../../base/nearest.ts";
import type { Study } from "../study.ts";
import { copy } from "./copy.ts";
import { image } from "./image.ts";
import { language } from "./language.ts";
import { selectiveCopy } from "./selective-copy.ts";
import { shakespeare } from "./shakespeare.ts";

export const studies: readonly Study[] = [shakespeare, copy, selectiveCopy, image, language];

/** RivuletError "unknown-study" where there is none of that name. */
export function findStudy(name: string): Study {
	const study = studies.find((candidate) => candidate.name === name);
	if (study) return study;
	const names = studies.map((candidate) => candidate.name);
	const suggestion = nearest(name, names);
	throw new RivuletError("unknown-study", `unknown study "${name}"`, {
		hint: suggestion ? `did you mean ${suggestion}?` : `there are ${names.join(", ")}`,
		exitStatus: 2,
	});
}
