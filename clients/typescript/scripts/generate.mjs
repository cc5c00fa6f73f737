// Writes src/generated/requests.ts from the JSON Schemas of peerd's requests, which are snapshots
// of its tests. With --check it only compares. --schemas names their folder.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    check: { type: "boolean", default: false },
    schemas: { type: "string", default: "../../tests/snapshots" },
  },
});
const TARGET = new URL("../src/generated/requests.ts", import.meta.url);
const PREFIX = "bodies__request_";

/** The schema of each method's request, by the name of the method. */
function readSchemas(folder) {
  const files = readdirSync(folder).filter((file) => file.startsWith(PREFIX));
  if (files.length === 0) throw new Error(`no schemas in ${folder}`);
  return Object.fromEntries(
    files.sort().map((file) => {
      const text = readFileSync(`${folder}/${file}`, "utf8");
      const schema = JSON.parse(text.slice(text.indexOf("\n---\n") + 5));
      return [file.slice(PREFIX.length, -".snap".length), schema];
    }),
  );
}

const pascal = (name) => name.replace(/(?:^|_)([a-z])/g, (_, letter) => letter.toUpperCase());
const comment = (text, indent) =>
  text ? `${indent}/** ${text.replaceAll("\n", " ").replace(/\.?$/, ".")} */\n` : "";

/** Definitions of the same name and content are shared; others get the method's name. */
function nameDefinitions(schemas) {
  const contents = new Map();
  for (const schema of Object.values(schemas)) {
    for (const [name, content] of Object.entries(schema.$defs ?? {})) {
      if (!contents.has(name)) contents.set(name, new Set());
      contents.get(name).add(JSON.stringify(content));
    }
  }
  return (method, name) => (contents.get(name).size === 1 ? name : `${pascal(method)}${name}`);
}

class Writer {
  constructor(method, nameOf) {
    this.method = method;
    this.nameOf = nameOf;
  }

  isNull(schema) {
    return schema === null || schema.type === "null" || schema.const === null;
  }

  /** The TypeScript type of a schema. null means that a field is left out, and is not shown. */
  type(schema, indent = "") {
    const parts = [];
    if (schema.$ref) parts.push(this.nameOf(this.method, schema.$ref.replace("#/$defs/", "")));
    for (const all of schema.allOf ?? []) parts.push(this.type(all, indent));
    const some = schema.anyOf ?? schema.oneOf;
    if (some)
      parts.push(
        this.union(
          some.filter((one) => !this.isNull(one)),
          indent,
        ),
      );
    if (schema.enum) {
      const values = schema.enum.filter((value) => value !== null);
      parts.push(values.map((value) => JSON.stringify(value)).join(" | "));
    } else if ("const" in schema) {
      parts.push(JSON.stringify(schema.const));
    } else if (schema.properties) {
      parts.push(this.object(schema, indent));
    } else if (schema.type) {
      parts.push(this.simple(schema, indent));
    }
    return parts.length > 0 ? parts.join(" & ") : "unknown";
  }

  union(schemas, indent) {
    const types = schemas.map((one) => this.type(one, indent));
    return types.length === 1 ? types[0] : `(${types.join(" | ")})`;
  }

  simple(schema, indent) {
    const types = [schema.type].flat().filter((type) => type !== "null");
    const names = types.map((type) => {
      switch (type) {
        case "string":
          return schema.contentEncoding === "base64" ? "Uint8Array" : "string";
        case "integer":
        case "number":
          return "number";
        case "boolean":
          return "boolean";
        case "array":
          return `readonly (${this.type(schema.items ?? {}, indent)})[]`;
        case "object":
          return "Record<string, unknown>";
        default:
          throw new Error(`${this.method}: a schema of type ${type}`);
      }
    });
    return names.join(" | ");
  }

  object(schema, indent) {
    const inner = `${indent}  `;
    const fields = Object.entries(schema.properties).map(([name, field]) => {
      const isRequired = (schema.required ?? []).includes(name);
      const mark = isRequired ? "" : "?";
      const about = comment(field.description, inner);
      return `${about}${inner}${name}${mark}: ${this.type(field, inner)};\n`;
    });
    return `{\n${fields.join("")}${indent}}`;
  }
}

function generate(schemas) {
  const nameOf = nameDefinitions(schemas);
  const written = new Map();
  const methods = [];
  for (const [method, schema] of Object.entries(schemas)) {
    const writer = new Writer(method, nameOf);
    for (const [name, content] of Object.entries(schema.$defs ?? {})) {
      const about = comment(content.description, "");
      const own = nameOf(method, name);
      written.set(own, `${about}export type ${own} = ${writer.type(content)};\n`);
    }
    const isEmpty = Object.keys(schema.properties ?? {}).length === 0 && !schema.$ref;
    const type = isEmpty ? "Record<never, never>" : writer.type(schema, "  ");
    methods.push(`${comment(schema.description, "  ")}  ${method}: ${type};\n`);
  }
  const definitions = [...written.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    "// Generated by scripts/generate.mjs from the schemas of peerd's requests: do not edit.\n",
    ...definitions.map(([, text]) => text),
    `/** The body of each method's request. */\nexport interface Requests {\n${methods.join("")}}\n`,
    "/** A method of peerd. */\nexport type Method = keyof Requests;\n",
  ].join("\n");
}

const text = generate(readSchemas(options.schemas));
if (!options.check) {
  writeFileSync(TARGET, text);
} else if (readFileSync(TARGET, "utf8") !== text) {
  console.error("src/generated/requests.ts is not as generated: run `npm run generate`");
  process.exitCode = 1;
}
