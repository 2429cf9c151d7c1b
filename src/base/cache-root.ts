/** Where what can be made again is kept from run to run. */
import { homedir } from "node:os";
import { join } from "node:path";

/** $RIVULET_CACHE, else rivulet/ in $XDG_CACHE_HOME, else in ~/.cache. */
export function cacheRoot(): string {
	const { RIVULET_CACHE, XDG_CACHE_HOME } = process.env;
	return RIVULET_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "rivulet");
}
