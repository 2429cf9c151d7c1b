/** The choice among backends. */
import { expect, test } from "vitest";
import { backendSupport, createRuntime } from "../../../src/engine/backends/index.ts";

const cuda = (await backendSupport()).get("cuda");

test.skipIf(cuda === undefined)(
	"a backend that cannot run here is refused with what it lacks and what to do",
	async () => {
		await expect(createRuntime("cuda")).rejects.toMatchObject({
			code: "backend-unavailable",
			message: `the backend cuda cannot run here: ${cuda}`,
			hint: expect.stringContaining("rivulet doctor"),
			exitStatus: 2,
		});
	},
);

test("a precision that a backend does not have is refused", async () => {
	await expect(createRuntime("reference", { precision: "bf16" })).rejects.toMatchObject({ code: "precision" });
});
