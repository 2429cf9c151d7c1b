/** The data sets that can be fetched: their files, where those lie, and how to know that they are the right ones. Nothing is shipped. */
import { join } from "node:path";

/** One file as its makers publish it. */
export interface RemoteFile {
	readonly name: string;
	readonly url: string;
	readonly bytes: number;
	readonly sha256: string;
}

/** Files that are learned from together. */
export interface RemoteData {
	readonly name: string;
	readonly title: string;
	readonly files: readonly RemoteFile[];
	/** What the makers ask for, in a line. */
	readonly terms: string;
	/** The preset that learns from it, with what else it needs. */
	readonly preset: readonly string[];
	/** The `--data.path` of that preset. @param folder where the files are */
	path(folder: string): string;
}

const shakespeare: RemoteData = {
	name: "shakespeare",
	title: "tiny Shakespeare: 1.1 million characters of the plays, as char-rnn has them",
	files: [
		{
			name: "tinyshakespeare.txt",
			url: "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
			bytes: 1_115_394,
			sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
		},
	],
	terms: "text in the public domain",
	preset: ["--preset", "shakespeare"],
	path: (folder) => join(folder, "tinyshakespeare.txt"),
};

const cifar10: RemoteData = {
	name: "cifar10",
	title: "CIFAR-10, binary version: 60,000 colour images of 32 x 32 pixels in 10 classes",
	files: [
		{
			name: "cifar-10-binary.tar.gz",
			url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
			bytes: 170_052_171,
			sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
		},
	],
	terms: 'no licence stated; cite A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009',
	preset: ["--preset", "image"],
	path: (folder) => folder,
};

/** The makers' own host answers no longer; this mirror keeps its very files. */
function mnistFile(name: string, bytes: number, sha256: string): RemoteFile {
	return { name, url: `https://storage.googleapis.com/cvdf-datasets/mnist/${name}`, bytes, sha256 };
}

const mnist: RemoteData = {
	name: "mnist",
	title: "MNIST: 70,000 handwritten digits of 28 x 28 pixels",
	files: [
		mnistFile(
			"train-images-idx3-ubyte.gz",
			9_912_422,
			"440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
		),
		mnistFile("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
		mnistFile(
			"t10k-images-idx3-ubyte.gz",
			1_648_877,
			"8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
		),
		mnistFile("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
	],
	terms: "no licence stated; by Y. LeCun, C. Cortes and C. Burges",
	preset: ["--preset", "image", "--data.length", "784"],
	path: (folder) => folder,
};

/** All of them, in the order in which they are shown. */
export const remoteData: readonly RemoteData[] = [cifar10, mnist, shakespeare];
