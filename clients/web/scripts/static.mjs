// Serves the built page on this machine. For a deployment, any web server does.
import { once } from "node:events";
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../dist", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** Reads the files once, so that no request names a file of the disk. */
async function read() {
  const found = await readdir(FOLDER, { recursive: true, withFileTypes: true });
  const files = found.filter((one) => one.isFile());
  const pages = files.map(async ({ name, parentPath }) => {
    const file = join(parentPath, name);
    const type = `${TYPES[extname(name)] ?? "application/octet-stream"}; charset=utf-8`;
    return [file.slice(FOLDER.length).replaceAll(sep, "/"), { type, body: await readFile(file) }];
  });
  return new Map(await Promise.all(pages));
}

/** Resolves with the address, and a function that ends it. */
export async function servePage(host) {
  const pages = await read();
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://page");
    const page = pages.get(pathname === "/" ? "/index.html" : pathname);
    if (!page) return void response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": page.type, "Cache-Control": "no-store" });
    response.end(page.body);
  });
  server.listen(0, host);
  await once(server, "listening");
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://${host}:${server.address().port}/`, close };
}
