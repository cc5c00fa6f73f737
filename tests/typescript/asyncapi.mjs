// Parses a document with the official parser of AsyncAPI. Prints the operations as JSON, or the
// complaints of the parser. Run in the folder where the packages are.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const { Parser } = createRequire(resolve("package.json"))("@asyncapi/parser");

const [file] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
// The severities are error 0, warning 1, information 2, hint 3.
const problems = diagnostics.filter(({ severity }) => severity <= 1);
if (!document || problems.length > 0) {
  console.log(JSON.stringify(problems.slice(0, 20), null, 2));
  process.exitCode = 1;
} else {
  const operations = document.operations().all();
  const named = (action) =>
    operations.filter((one) => one.action() === action).map((one) => one.id());
  console.log(JSON.stringify({ calls: named("receive"), sent: named("send") }));
}
