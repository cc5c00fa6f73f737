"""The typings of the SDK, docs/conformance.toml, and TypeScript that compares both with recorded
bodies of peerd.

The classification names the fields that a body of peerd may leave out or add. From it, each type of
the typings gets a counterpart for what is sent (`wire.ts`): its fields have the types of the
typings, those of the client library are missing, and those with a default are optional.
`complete.ts` shows that this is the only difference: a counterpart with the defaults and with the
fields of the client library is assignable to the type of the typings.
"""

import fnmatch
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance.md"
# Here `make` installs the packages of the lock file.
PACKAGES = ROOT / "target" / "typescript"
SNAPSHOTS = ROOT / "tests" / "snapshots"
STATUSES = ("done", "default", "partly", "client", "none")
# Fields that a body of peerd may have.
SENT = ("done", "default", "partly")
COMPILER = {
    "strict": True,
    "noEmit": True,
    "target": "es2022",
    "lib": ["es2022", "dom"],
    "skipLibCheck": True,
    "types": [],
    "module": "esnext",
    "moduleResolution": "bundler",
}


def snake_case(name):
    """The name of the SDK as peerd spells it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def is_in(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Classification:
    """docs/conformance.toml."""

    def __init__(self):
        text = (ROOT / "docs" / "conformance.toml").read_text("utf-8")
        read = tomllib.loads(text)
        self.package, self.version = read["package"], read["version"]
        self.methods, self.events = read["methods"], read["events"]
        self.types, self.values = read["types"], read["values"]
        self.areas, self.own = read["areas"], read["own"]

    def of_areas(self, kind):
        """The methods, events or patterns of the areas that are not offered."""
        return [name for area in self.areas for name in area.get(kind, ())]

    def named(self, kind):
        """All methods or events that are classified, with repeats."""
        listed = {"methods": self.methods, "events": self.events}[kind]
        return [*listed["done"], *listed["client"], *self.of_areas(kind)]

    @staticmethod
    def members(entry):
        """The fields of a type or the values of an enumeration, with repeats."""
        return [name for status in STATUSES for name in entry.get(status, ())]

    @staticmethod
    def status(entry, name):
        return next((status for status in STATUSES if name in entry.get(status, ())), None)


class Typings:
    """The typings of the SDK."""

    def __init__(self, classification):
        self.classification = classification
        package = PACKAGES / "node_modules" / classification.package
        installed = json.loads((package / "package.json").read_text("utf-8"))
        assert installed["version"] == classification.version
        script = ROOT / "tests" / "typescript" / "typings.mjs"
        command = ["node", script, package / installed["typings"]]
        read = json.loads(subprocess.check_output(command, cwd=PACKAGES, text=True))
        self.methods, self.events = read["methods"], read["events"]
        self.types, self.enums = read["types"], read["enums"]

    def fields(self, name):
        """The fields of a type, inherited ones too: (field, declaring type, its type, optional)."""
        of_type = self.types[name]
        found = {}
        for base in of_type["bases"]:
            found |= {field: rest for field, *rest in self.fields(base)}
        for field, declared in of_type["fields"].items():
            found[field] = [name, declared["type"], declared["optional"]]
        return [(field, *rest) for field, rest in found.items()]

    def is_a(self, name, base):
        return name == base or any(self.is_a(one, base) for one in self.types[name]["bases"])

    def declaring(self, name, field):
        """The types that declare a field of a type: itself, or what it extends."""
        of_type = self.types[name]
        found = {name} if field in of_type["fields"] else set()
        return found.union(*(self.declaring(base, field) for base in of_type["bases"]))

    def alternatives(self, name):
        """The classified types that extend this one, by the value of `type` that marks each."""
        found = {}
        for one, of_type in self.types.items():
            kind = of_type["fields"].get("type", {}).get("type", "")
            if "." in kind and self.is_a(one, name) and one in self.classification.types:
                enum, value = kind.split(".")
                found[self.enums[enum][value]] = one
        return found if name not in found.values() else {}

    def reached(self, roots):
        """The types that are reached from some, through fields and alternatives."""
        found, rest = set(), [name for root in roots if (name := self.name_in(root))]
        while rest:
            name = rest.pop()
            if name in found:
                continue
            found.add(name)
            rest += self.alternatives(name).values()
            rest += [of for _, _, text, _ in self.fields(name) if (of := self.name_in(text))]
        return found & self.classification.types.keys()

    def name_in(self, text):
        """The type of the typings in the text of a type (`ZIMMessage[]`), if there is one."""
        name = text.removesuffix("[]")
        return name if name in self.types else None

    def leaf(self, name, value):
        """The type of a value that is shown as `name`."""
        return self.alternatives(name).get(value.get("type"), name)


class Seen:
    """The fields and values of the typings that recorded bodies have."""

    def __init__(self, typings):
        self.typings = typings
        self.fields, self.values = set(), set()

    def take(self, text, value):
        enum = self.typings.enums.get(text.removesuffix("[]").split(".")[0])
        if text.endswith("[]"):
            for one in value:
                self.take(text.removesuffix("[]"), one)
        elif enum:
            names = [name for name, number in enum.items() if number == value]
            self.values |= {(text.split(".")[0], name) for name in names}
        elif isinstance(value, dict) and self.typings.name_in(text):
            leaf = self.typings.leaf(text, value)
            for field, _, of, _ in self.typings.fields(leaf):
                if field in value:
                    self.fields |= {(one, field) for one in self.typings.declaring(leaf, field)}
                    self.take(of, value[field])


class Schemas:
    """The schemas of peerd's requests, from the snapshots."""

    def __init__(self):
        self.of = {}
        for path in SNAPSHOTS.glob("bodies__request_*.snap"):
            name = path.stem.removeprefix("bodies__request_")
            self.of[name] = json.loads(path.read_text("utf-8").split("\n---\n", 1)[1])

    @staticmethod
    def properties(root, *parts):
        """The fields of parts of a schema, by name, each with all schemas that it may have."""
        found, rest = {}, list(parts)
        while rest:
            part = rest.pop()
            if not isinstance(part, dict):
                continue
            if "$ref" in part:
                rest.append(root["$defs"][part["$ref"].removeprefix("#/$defs/")])
            for several in ("anyOf", "oneOf", "allOf"):
                rest += part.get(several, ())
            rest.append(part.get("items"))
            for field, schema in part.get("properties", {}).items():
                found.setdefault(field, []).append(schema)
        return found


class TypeScript:
    """The generated files, and the compiler."""

    def __init__(self, typings, folder):
        self.typings, self.folder = typings, folder
        self.classification = typings.classification
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        options = {"compilerOptions": COMPILER, "include": ["*.ts"]}
        (folder / "tsconfig.json").write_text(json.dumps(options), "utf-8")

    def write(self, name, lines):
        lines = ['import type * as zim from "zego-zim-web";', *lines, ""]
        (self.folder / name).write_text("\n".join(lines), "utf-8")

    def compile(self):
        """The complaints of the compiler."""
        compiler = PACKAGES / "node_modules" / "typescript" / "bin" / "tsc"
        command = ["node", compiler, "--project", self.folder, "--pretty", "false"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def status(self, declaring, field):
        return self.classification.status(self.classification.types[declaring], field)

    def is_sent(self, name):
        """Whether peerd sends any field of a type: an empty interface would take every object."""
        return any(self.status(of, field) in SENT for field, of, *_ in self.typings.fields(name))

    def type_of(self, name, field, text):
        """The type of a field: the counterpart of its type, or the type in the typings."""
        of = self.typings.name_in(text)
        if of in self.classification.types:
            return of + ("[]" if text.endswith("[]") else "")
        return f'zim.{name}["{field}"]'

    def counterparts(self, names, is_sent):
        """Counterparts of types: as peerd sends them, or as a client calls with them."""
        for name in sorted(names):
            if several := self.typings.alternatives(name):
                yield f"export type {name} = {' | '.join(several.values())};"
                continue
            yield f"export interface {name} {{"
            for field, declaring, text, optional in self.typings.fields(name):
                status = self.status(declaring, field)
                if is_sent and status not in SENT:
                    continue
                mark = "?" if optional or (is_sent and status == "default") else ""
                yield f"  {field}{mark}: {self.type_of(name, field, text)};"
            yield from self.own_fields(name) if is_sent else ()
            yield "}"

    def own_fields(self, name):
        bases = [one for one in self.classification.types if self.typings.is_a(name, one)]
        for one in bases:
            for field, text in self.classification.types[one].get("own", {}).items():
                yield f"  {field}?: {text};"

    def completions(self, names):
        """For each counterpart, that the typings' type needs no more than what is classified.

        Fields that have a counterpart themselves are left out: it has a function of its own.
        """
        for name in sorted(names):
            if self.typings.alternatives(name):
                continue
            nested, defaults, absent = [], {}, []
            for field, declaring, text, optional in self.typings.fields(name):
                status = self.status(declaring, field)
                if self.typings.name_in(text):
                    nested.append(field)
                elif status == "default":
                    defaults[field] = self.classification.types[declaring]["default"][field]
                elif status not in SENT and not optional:
                    absent.append(field)
            rest, picked = (" | ".join(map(json.dumps, of)) or "never" for of in (nested, absent))
            yield f"export const {name} = ("
            yield f"  sent: Omit<wire.{name}, {rest}>, client: Pick<zim.{name}, {picked}>,"
            yield f"): Omit<zim.{name}, {rest}> =>"
            yield f"  ({{ ...{json.dumps(defaults)}, ...client, ...sent }});"


def literal(value):
    """A body as an expression of TypeScript."""
    if isinstance(value, dict):
        fields = (f"{json.dumps(field)}: {literal(one)}" for field, one in value.items())
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, bytes):
        return f"new Uint8Array({json.dumps(list(value))})"
    return json.dumps(value)


def interface(fields):
    """The type of an object with these fields."""
    return "{ " + " ".join(f"{field}: {text};" for field, text in fields.items()) + " }"
