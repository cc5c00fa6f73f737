"""Builds the documentation site from the pages of the repository, as they are: see `make site`."""

import os
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.parsers import Parser
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
# Where links to files and folders of the repository lead. Without it, files are copied.
REPOSITORY = os.environ.get("REPOSITORY", "").rstrip("/")

project = "peerd"
html_title = project
root_doc = "README"
extensions = ["myst_parser"]
include_patterns = [
    "*.md",
    "config/peerd.toml",
    "docs/*.md",
    "docs/decisions/*.md",
    "deploy/README.md",
    "clients/README.md",
    "clients/*/README.md",
    "crates/dataplane/README.md",
]
exclude_patterns = [".*", "target", "**/node_modules"]

# The navigation. It is added here because GitHub would show it as code. A page outside it fails the
# build.
CONTENTS = {
    "README": """
```{toctree}
:hidden:
:caption: Use
docs/tutorial
Clients <clients/README>
clients/typescript/README
clients/python/README
clients/web/README
docs/protocol
docs/conformance
docs/guarantees
```
```{toctree}
:hidden:
:caption: Operate
deploy/README
Configuration <config/peerd>
docs/operations
docs/login
docs/monitoring
docs/nats-cli
docs/verify
docs/performance
docs/scale
docs/soak
SECURITY
```
```{toctree}
:hidden:
:caption: Develop
ARCHITECTURE
CONTRIBUTING
crates/dataplane/README
CHANGELOG
docs/README
```
""",
    "docs/README": """
```{toctree}
:hidden:
:glob:
decisions/*
```
""",
}

# Examples shorten JSON with "...".
suppress_warnings = ["misc.highlighting_failure"]
# Headings get the anchors that GitHub gives them.
myst_heading_anchors = 6

html_theme = "furo"
html_show_sphinx = html_show_copyright = html_copy_source = False
# The README is the start page, under the name that it has in the repository.
html_extra_path = ["start"]


class Toml(Parser):
    """Shows a configuration file whole, under its name."""

    supported = ("toml",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        name = Path(document["source"]).name
        page = nodes.section("", nodes.title(text=name), ids=["file"])
        page += nodes.literal_block(inputstring, inputstring, language="toml")
        document += page


class LinksToRepository(SphinxTransform):
    """Lets links to files and folders that are not pages lead to the repository."""

    default_priority = 500

    def apply(self, **_kwargs: object) -> None:
        for node in list(self.document.findall(is_link)):
            target = node["reftarget"]
            if node["refdomain"] == "doc":
                # `.toml` is a suffix of pages, but few such files are.
                path = ROOT / f"{target}.toml"
                if target in self.env.found_docs or not path.exists():
                    continue
            else:
                path = Path(self.env.relfn2path(target)[1])
            name = path.relative_to(ROOT).as_posix()
            if REPOSITORY:
                link = nodes.reference("", "", *node.children, refuri=f"{REPOSITORY}/{name}")
                node.replace_self(link)
            elif path.is_file():
                node.replace_self(download_reference("", "", *node.children, reftarget=f"/{name}"))
            elif path.is_dir():
                node.replace_self(node.children)


def is_link(node: nodes.Node) -> bool:
    return isinstance(node, (download_reference, pending_xref)) and node["reftype"] == "myst"


def add_contents(_app: object, docname: str, source: list[str]) -> None:
    source[0] += CONTENTS.get(docname, "")


def setup(app) -> None:
    app.add_source_suffix(".toml", "toml")
    app.add_source_parser(Toml)
    app.add_transform(LinksToRepository)
    app.connect("source-read", add_contents)
