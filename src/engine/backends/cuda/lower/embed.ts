/** Rows of two tables looked up and added (tokens and positions), and dropout of the sum: one pass over the result for five. */
import { type Fusion, halfOf, inFours, matrix, operand, sameOperand, strided } from "../lower-context.ts";
import { meet } from "./halves.ts";
import { dropoutOf } from "./norms.ts";

const embed: Fusion = (instructions, context) => {
	const [tokens, places, add, next] = instructions;
	if (!["gather", "gather", "add"].every((name, i) => instructions[i]?.op.name === name)) return null;
	const [token, place, sum] = [tokens, places, add].map(({ outputs }) => operand(outputs, 0));
	if (token.dtype !== "f32" || !sameOperand(token, add.inputs[0]) || !sameOperand(place, add.inputs[1])) return null;
	const dropout = next?.op.name === "dropout" && sameOperand(sum, next.inputs[0]) ? next : null;
	const last = dropout ?? add;
	const y = operand(last.outputs, 0);
	const count = dropout ? 4 : 3;
	const given = [tokens, places].flatMap(({ inputs }) => [operand(inputs, 0), operand(inputs, 1)]);
	const [table, , other] = given;
	if (![table, other, y].every((each) => inFours(each) && each.cols % 16 === 0)) return null;
	if (given.some((each) => meet(each, y))) return null;
	const between = dropout ? [token, place, sum] : [token, place];
	if (between.some((each) => !sameOperand(each, y) && context.readAfter(each, count))) return null;
	for (let i = 1; i < count; i++) context.next();
	const args = [...[...given, y].map(matrix), ...halfOf(y, context), ...dropoutOf(dropout)];
	const commands = [strided("pointwise", "embed", (y.rows * y.cols) / 16, args, last, context)];
	return [{ commands, reads: given, writes: [y] }];
};

export const embedFusions: readonly Fusion[] = [embed];
