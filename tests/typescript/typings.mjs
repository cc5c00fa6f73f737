// Prints the names of the SDK's typings as JSON: methods with parameters and result, events with
// their body, types with their own fields, enumerations with their values.
// Run in the folder where the packages are.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const ts = createRequire(resolve("package.json"))("typescript");

const [entry] = process.argv.slice(2);
const program = ts.createProgram([entry], { noLib: true, types: [] });
const checker = program.getTypeChecker();
const found = { methods: {}, events: {}, types: {}, enums: {} };

const typeOf = (node) => node?.getText().replace(/\s+/g, " ") ?? "void";
const members = (nodes) =>
  Object.fromEntries(
    nodes.map((node) => [
      node.name.getText(),
      { type: typeOf(node.type), optional: node.questionToken !== undefined },
    ]),
  );
const resultOf = (method) => typeOf(method.type).replace(/^Promise<(.*)>$/, "$1");

function visit(node) {
  const name = node.name?.getText();
  if (ts.isEnumDeclaration(node)) {
    const values = node.members.map((one) => [one.name.getText(), checker.getConstantValue(one)]);
    found.enums[name] = Object.fromEntries(values);
  } else if (ts.isClassDeclaration(node)) {
    for (const method of node.members.filter(ts.isMethodDeclaration)) {
      const call = { parameters: members(method.parameters), result: resultOf(method) };
      // A later overload is the one of the present SDK.
      found.methods[method.name.getText()] = call;
    }
  } else if (ts.isInterfaceDeclaration(node) && name === "ZIMEventHandler") {
    for (const event of node.members) {
      found.events[event.name.getText()] = typeOf(event.type.parameters[1].type);
    }
  } else if (ts.isInterfaceDeclaration(node)) {
    const extended = node.heritageClauses?.flatMap((clause) => clause.types) ?? [];
    const bases = extended.map((base) => base.expression.getText());
    found.types[name] = { bases, fields: members(node.members) };
  }
}

for (const file of program.getSourceFiles()) {
  if (file.fileName.includes("zego-zim-web")) file.forEachChild(visit);
}
console.log(JSON.stringify(found, null, 2));
