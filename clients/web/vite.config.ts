import { defineConfig } from "vite";
import type { Plugin } from "vite";

/** What the built page may load: its own files, the WebSocket, and media that a person asks for. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src ws: wss:",
  "img-src data: https: http:",
  "media-src https: http:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** Adds the policy to the built page. The server for development needs inline scripts. */
const contentSecurityPolicy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
      injectTo: "head-prepend",
    },
  ],
};

export default defineConfig({
  base: "./",
  plugins: [contentSecurityPolicy],
  resolve: {
    alias: { "@peerd/client": new URL("../typescript/src/browser.ts", import.meta.url).pathname },
  },
  build: { target: "es2022", modulePreload: { polyfill: false } },
});
