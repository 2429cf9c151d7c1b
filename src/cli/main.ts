#!/usr/bin/env node
/** The program `rivulet`. */
import { actions } from "./actions.ts";
import { processIo } from "./io.ts";
import { runCli } from "./program.ts";

process.exitCode = await runCli(process.argv.slice(2), processIo(), actions);
